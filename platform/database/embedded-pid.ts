import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chown, open, readFile, readlink, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { codeOf, undefinedWhenMissing } from "./embedded-failure.ts";

const run = promisify(execFile);

/** What `postmaster.pid` says about the server that works on a data folder. */
export interface PidFile {
  readonly pid: number;
  readonly port: number;
  readonly ready: boolean;
}

/** Reads a data folder's `postmaster.pid`; undefined when there is none, or none that is whole. */
export async function readPidFile(data: string): Promise<PidFile | undefined> {
  const text = (await readFile(join(data, "postmaster.pid"), "utf8").catch(undefinedWhenMissing)) ?? "";
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 0 ? { pid, port: Number(lines[3]), ready: lines[7]?.trim() === "ready" } : undefined;
}

/** Whether a process lives. One that is dead but not yet collected by its parent does not. */
export async function alive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return false;
  }
  if (process.platform !== "linux") return true;
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return !/^[ZX]/.test(status.slice(status.lastIndexOf(")") + 2));
}

/** Whether a process is a PostgreSQL at work on this data folder, and not another program that got its number. */
export async function servesFolder(pid: number, data: string): Promise<boolean> {
  if (!(await alive(pid))) return false;
  if (process.platform === "linux") {
    // Servers started by Kontor name their data; the working folder, which is that of every PostgreSQL, is hidden from root in most containers.
    const [program = "", ...words] = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (program.endsWith("postgres") && words.includes(data)) return true;
    return (await readlink(`/proc/${pid}/cwd`).catch(() => "")) === data;
  }
  const look =
    process.platform === "win32" ? run("tasklist", ["/FI", `PID eq ${pid}`, "/NH"]) : run("ps", ["-p", String(pid), "-o", "command="]);
  return look.then(
    ({ stdout }) => stdout.includes("postgres"),
    () => false,
  );
}

/**
 * Makes a lock file whose number now belongs to another program harmless. Only the number changes: by the rest
 * PostgreSQL finds the shared memory of the last server, and refuses to start while orphans of it still write.
 */
export async function disownPidFile(data: string): Promise<void> {
  const path = join(data, "postmaster.pid");
  const file = await open(path, "r+");
  try {
    const [, ...rest] = (await file.readFile("utf8")).split("\n");
    await file.truncate(0);
    await file.write([String(2 ** 31 - 1), ...rest].join("\n"), 0);
  } finally {
    await file.close();
  }
}

/** Replaces a file in one step. */
export async function replaceFile(path: string, text: string, owner?: { uid: number; gid: number }): Promise<void> {
  const half = `${path}.${randomBytes(4).toString("hex")}`;
  await writeFile(half, text, { mode: 0o600 });
  if (owner !== undefined) {
    await chown(half, owner.uid, owner.gid);
  }
  await rename(half, path);
}
