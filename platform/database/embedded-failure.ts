import { readFile } from "node:fs/promises";

/** What a PostgreSQL that did not come up says about itself, sorted by what can be done about it. */
export type Failure =
  | "already running"
  | "port taken"
  | "disk full"
  | "no memory"
  | "no permission"
  | "other version"
  | "bad settings"
  | "corrupt";

/** Reads the kind of failure from the lines that a start wrote. What is not recognised counts as a damaged folder. */
export function failureIn(lines: string): Failure {
  if (/lock file .* already exists|pre-existing shared memory block/.test(lines)) return "already running";
  if (/No space left on device|Disk quota exceeded|Check free disk space/.test(lines)) return "disk full";
  if (/could not bind|could not create any (TCP|Unix)|Address already in use/.test(lines)) return "port taken";
  if (/could not (create|map anonymous|resize) shared memory|Cannot allocate memory|out of memory/.test(lines)) return "no memory";
  if (/configuration file .* contains errors|configuration parameter|invalid value for parameter|could not access file "/.test(lines))
    return "bad settings";
  if (/database files are incompatible with server/.test(lines)) return "other version";
  if (/Permission denied|has wrong ownership|has invalid permissions|Read-only file system/.test(lines)) return "no permission";
  return "corrupt";
}

/** An error that says what is wrong with the PostgreSQL in `home` and what to do, with the last lines it wrote. */
export function explain(failure: Failure, home: string, lines: string): Error {
  const last = lines.trim().split("\n").slice(-12).join("\n  ");
  return new Error(`${advice(failure, home)}\nPostgreSQL's last lines:\n  ${last === "" ? "(none)" : last}`);
}

function advice(failure: Failure, home: string): string {
  switch (failure) {
    case "disk full":
      return `No space is left on the disk of ${home}. Nothing is lost: free some space, then start again.`;
    case "no memory":
      return `PostgreSQL did not get the memory it needs (its data is in ${home}). Close other programs or raise the container's limit, then start again.`;
    case "no permission":
      return `PostgreSQL may not read or write its data in ${home}. Give the folder back to the user who made it, then start again.`;
    case "port taken":
      return `PostgreSQL could not open its port or socket (its data is in ${home}). Free the port or choose another one, then start again.`;
    case "already running":
      return `Another PostgreSQL works on ${home} and does not respond. Wait until it has stopped, or end it, then start again.`;
    case "other version":
      return `The data in ${home} was made by another version of PostgreSQL. Start with the Kontor that made it, or start over with kontor reset.`;
    case "bad settings":
      return `PostgreSQL does not accept its settings (its data is in ${home}). Correct or leave out the one named below, then start again.`;
    case "corrupt":
      return `PostgreSQL cannot start on its data in ${home}: it may be damaged. Restore a backup, or start over with kontor reset (which deletes everything).`;
  }
}

/** The system's code in an error, such as `ENOENT`. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** For a `catch`: undefined when a file is not there. Other errors are thrown on. */
export function undefinedWhenMissing(error: unknown): undefined {
  if (codeOf(error) !== "ENOENT") throw error;
  return undefined;
}

/** Turns a failed file operation on the shop's folder into an error that says what to do. Others pass through. */
export function explainFile(error: unknown, folder: string): unknown {
  const code = codeOf(error);
  if (code === "ENOSPC" || code === "EDQUOT")
    return new Error(`No space is left on the disk of ${folder}: free some, then start again.`, { cause: error });
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return new Error(`The folder ${folder} cannot be written: make it writable for this user, or choose another folder.`, { cause: error });
  if (code === "ENOTDIR" || code === "EEXIST")
    return new Error(`${folder} cannot be used as a folder: a file of that name exists.`, { cause: error });
  return error;
}

/** An error for a program that could not even be started, as another user when `user` names one. */
export function explainSpawn(error: unknown, program: string, user: string | undefined): Error {
  const code = codeOf(error);
  if (user !== undefined && (code === "EPERM" || code === "EINVAL"))
    return new Error(
      `PostgreSQL refuses to run as root, and this process may not become user ${user}. ` +
        `Run Kontor as an ordinary user, or set KONTOR_DATABASE_URL to a PostgreSQL of your own.`,
      { cause: error },
    );
  return new Error(
    `PostgreSQL's ${program} cannot be run on this machine (${code ?? "unknown error"}). Set KONTOR_DATABASE_URL to a PostgreSQL 15 or later of your own.`,
    { cause: error },
  );
}

/** What a log file holds from `start` on, at most its last 64 KiB. */
export async function linesSince(file: string, start: number): Promise<string> {
  const all = await readFile(file);
  return all.subarray(Math.max(start <= all.length ? start : 0, all.length - 65_536)).toString("utf8");
}
