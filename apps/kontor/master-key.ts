import { hkdfSync, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { explainFile } from "@kontor/platform/database/embedded-failure.ts";

/**
 * The secret of this installation: the one given, or the one kept in the data folder, made at the first start. Throws when it is malformed,
 * and with what to do when the folder cannot be used.
 */
export async function masterKeyOf(given: string | undefined, folder: string): Promise<Uint8Array> {
  const hex =
    given ??
    (await keptIn(folder).catch((error: unknown) => {
      throw explainFile(error, resolve(folder));
    }));
  if (!/^[0-9a-f]{64}$/i.test(hex))
    throw new Error(`${given === undefined ? join(folder, "master.key") : "KONTOR_MASTER_KEY"} must be 64 hex digits`);
  return Buffer.from(hex, "hex");
}

/** A secret for one purpose, derived from the master key. */
export function derived(masterKey: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", masterKey, "", `kontor ${purpose}`, 32));
}

async function keptIn(folder: string): Promise<string> {
  const file = join(folder, "master.key");
  const kept = await readFile(file, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (kept !== undefined) return kept.trim();
  const made = randomBytes(32).toString("hex");
  await mkdir(folder, { recursive: true });
  // Whole or not at all: a half-written key would lock the shop out of its own data.
  await writeFile(`${file}.new`, `${made}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return made;
}
