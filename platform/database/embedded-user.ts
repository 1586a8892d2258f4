import { readFile, realpath, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** The user a PostgreSQL process runs as when this process is root. */
export interface RunAs {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** PostgreSQL refuses to run as root: then `postgres`, or else `nobody`. Undefined for an ordinary user, who runs it as themselves. */
export async function otherUserWhenRoot(): Promise<RunAs | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const users = await passwd();
  return (
    users.find(({ name }) => name === "postgres") ??
    users.find(({ name }) => name === "nobody") ?? { name: "nobody", uid: 65534, gid: 65534 }
  );
}

/** Who owns the file or folder at a path, when that is not root. */
export async function ownerOf(path: string): Promise<RunAs | undefined> {
  const { uid, gid } = await stat(path);
  if (uid === 0) return undefined;
  return { name: (await passwd()).find((user) => user.uid === uid)?.name ?? String(uid), uid, gid };
}

/** Whether a user may pass through every folder down to `path`, and through `path` itself. */
export async function reachable(path: string, user: RunAs): Promise<boolean> {
  for (let at = await realpath(path); ; at = dirname(at)) {
    const { uid, gid, mode } = await stat(at);
    const mask = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001;
    if ((mode & mask) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

async function passwd(): Promise<RunAs[]> {
  const lines = (await readFile("/etc/passwd", "utf8").catch(() => "")).split("\n");
  return lines.map((line) => line.split(":")).map(([name = "", , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }));
}
