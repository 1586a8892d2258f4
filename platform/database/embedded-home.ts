import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, chmod, chown, constants, mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { machineFolder, type PostgresBinaries } from "./embedded-binaries.ts";
import { codeOf, explain, explainFile, explainSpawn, failureIn, undefinedWhenMissing } from "./embedded-failure.ts";
import { alive } from "./embedded-pid.ts";
import { otherUserWhenRoot, ownerOf, reachable, type RunAs } from "./embedded-user.ts";

/** Where one shop's PostgreSQL lives and who runs it. */
export interface Home {
  /** `<folder>/postgres`: password, port, log, and the data or a pointer to it. */
  readonly path: string;
  readonly data: string;
  readonly password: string;
  readonly user: RunAs | undefined;
}

/** Keeps PostgreSQL's own variables and the shop's secrets out of its processes. */
export const cleanEnvironment: NodeJS.ProcessEnv = {
  PATH: process.env["PATH"],
  SystemRoot: process.env["SystemRoot"],
  TEMP: process.env["TEMP"],
  TZ: "UTC",
  LC_ALL: "C",
};

const run = promisify(execFile);
const pointer = "data-is-in";

/** Opens the home in a shop's folder, or makes it. Made under another name and renamed when whole: half a home is never taken for one. */
export async function openHome(folder: string, binaries: PostgresBinaries): Promise<Home> {
  const root = resolve(folder);
  const path = join(root, "postgres");
  try {
    // Passable, so that another user can read the data inside when this process runs as root; secrets inside have their own mode.
    if ((await mkdir(root, { recursive: true })) !== undefined) await chmod(root, 0o711);
    if (!(await isFolder(path))) {
      await access(root, constants.W_OK);
      await removeHalfMade(root);
      await make(root, path, binaries);
    }
  } catch (error) {
    throw explainFile(error, root);
  }
  const home = await read(path);
  const made = (await readFile(join(home.data, "PG_VERSION"), "utf8").catch(() => "")).trim();
  if (made === "") throw explain("corrupt", home.path, `${home.data}/PG_VERSION is missing`);
  if (made !== binaries.major)
    throw explain("other version", home.path, `the data was made by PostgreSQL ${made}, this is PostgreSQL ${binaries.major}`);
  return home;
}

/** Where the data of a shop's folder is, whatever state it is in; undefined when there is none. */
export async function dataIn(folder: string): Promise<string | undefined> {
  const path = join(resolve(folder), "postgres");
  const data = (await pointed(path)) ?? join(path, "data");
  return (await isFolder(data)) ? realpath(data) : undefined;
}

/** Deletes the PostgreSQL of a folder with everything in it. It must be stopped. */
export async function removeHome(folder: string): Promise<void> {
  const path = join(resolve(folder), "postgres");
  if (!(await isFolder(path))) return;
  // Renamed to what the next start removes, should this be interrupted: no process has that number.
  const renamed = `${path}.new-${2 ** 31 - 1}-${randomBytes(4).toString("hex")}`;
  await rename(path, renamed);
  await discard(renamed);
}

async function read(path: string): Promise<Home> {
  const folder = (await pointed(path)) ?? join(path, "data");
  if (!(await isFolder(folder)))
    throw new Error(
      `The data of this shop was stored in ${folder}, which does not exist any more. Restore a backup, or start over with kontor reset.`,
    );
  const data = await realpath(folder);
  const password = await readFile(join(path, "password"), "utf8").catch((error: unknown) => {
    throw codeOf(error) === "ENOENT" ? explain("corrupt", path, `${path}/password is missing`) : explainFile(error, path);
  });
  if (process.getuid === undefined) return { path, data, password, user: undefined };
  if (process.getuid() === 0) {
    // The user who created it goes on running it, even when a user postgres is added later.
    const user = await ownerOf(data);
    if (user === undefined) throw explain("no permission", path, `${data} belongs to root, and PostgreSQL refuses to run as root`);
    if (!(await reachable(data, user)))
      throw explain("no permission", path, `user ${user.name} cannot pass through the folders above ${data}`);
    return { path, data, password, user };
  }
  const { uid } = await stat(data);
  if (uid !== process.getuid()) throw explain("no permission", path, `${data} belongs to user ${uid}, this is user ${process.getuid()}`);
  return { path, data, password, user: undefined };
}

async function make(root: string, path: string, binaries: PostgresBinaries): Promise<void> {
  const half = `${path}.new-${process.pid}-${randomBytes(4).toString("hex")}`;
  const user = await otherUserWhenRoot();
  const password = randomBytes(32).toString("base64url");
  const hint = join(half, "first-password");
  await mkdir(half);
  await chmod(half, user === undefined ? 0o700 : 0o711);
  try {
    let data = join(half, "data");
    if (user !== undefined && !(await reachable(root, user))) {
      data = join(await machineFolder(), `${basename(root).replace(/^\./, "")}-${randomBytes(6).toString("hex")}`);
      await writeFile(join(half, pointer), data);
    }
    await mkdir(data, { mode: 0o700 });
    const secret = data.startsWith(half) ? hint : `${data}.first-password`;
    await writeFile(secret, password, { mode: 0o600, flush: true });
    if (user !== undefined) {
      for (const path of [data, secret])
        await chown(path, user.uid, user.gid).catch((error: unknown) => {
          throw explainSpawn(error, binaries.initdb, user.name);
        });
    }
    await initdb(binaries, { data, secret, user, home: path });
    await rm(secret);
    await writeFile(join(half, "password"), password, { mode: 0o600, flush: true });
    await rename(half, path).catch(async (error: unknown) => {
      // Another start was quicker: its home counts.
      if (!["ENOTEMPTY", "EEXIST", "EPERM"].includes(codeOf(error) ?? "") || !(await isFolder(path))) throw error;
      await discard(half);
    });
    // Otherwise a power cut could restore the old name, and the next start would remove it.
    for (const folder of [path, dirname(data), root, dirname(root)]) await syncFolder(folder);
  } catch (error) {
    await discard(half);
    throw error;
  }
}

async function initdb(
  binaries: PostgresBinaries,
  to: { data: string; secret: string; user: RunAs | undefined; home: string },
): Promise<void> {
  const words = ["-D", to.data, "-U", "postgres", "-E", "UTF8", "-A", "scram-sha-256", `--pwfile=${to.secret}`, "--no-instructions"];
  // Set, so that initdb does not probe for them; the ones in use are in postgresql.conf.
  words.push("-c", "shared_buffers=16MB", "-c", "max_connections=20", "--lc-messages=C");
  words.push(...(Number(binaries.major) >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : ["--locale-provider=libc"]));
  // Sorting is the same everywhere; which letters are letters comes from the system, where it knows UTF-8 under one of these names.
  const locales = process.platform === "win32" ? ["C"] : ["C.UTF-8", "en_US.UTF-8", "C"];
  for (const [at, locale] of locales.entries()) {
    try {
      const { uid, gid } = to.user ?? {};
      await run(binaries.initdb, [...words, "--lc-collate=C", `--lc-ctype=${locale}`], {
        env: cleanEnvironment,
        cwd: "/",
        ...(uid === undefined || gid === undefined ? {} : { uid, gid }),
      });
      return;
    } catch (error) {
      const { stderr = "", code } = error as { stderr?: string; code?: string | number };
      if (/invalid locale name/.test(stderr) && at + 1 < locales.length) continue;
      if (typeof code === "string") throw explainSpawn(error, binaries.initdb, to.user?.name);
      const failure = failureIn(stderr);
      if (failure === "corrupt")
        throw new Error(`The database in ${to.home} could not be made:\n  ${stderr.trim().replaceAll("\n", "\n  ")}`, { cause: error });
      throw explain(failure, to.home, stderr);
    }
  }
}

/** Removes the files of starts that were killed. */
async function removeHalfMade(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = /^postgres\.new-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !(await alive(Number(pid)))) await discard(join(root, name));
  }
}

async function discard(half: string): Promise<void> {
  const elsewhere = await pointed(half);
  if (elsewhere !== undefined) {
    await rm(`${elsewhere}.first-password`, { force: true });
    await rm(elsewhere, { recursive: true, force: true, maxRetries: 3 });
  }
  await rm(half, { recursive: true, force: true, maxRetries: 3 });
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === "win32" || !(await isFolder(path))) return;
  const folder = await open(path);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function pointed(path: string): Promise<string | undefined> {
  return readFile(join(path, pointer), "utf8").catch(undefinedWhenMissing);
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(undefinedWhenMissing);
  return found?.isDirectory() === true;
}
