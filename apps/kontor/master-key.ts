import { randomBytes } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { explainFile } from "@kontor/platform/database/embedded-failure.ts";

/**
 * The secret of this installation: that of KONTOR_MASTER_KEY, or the one stored in the data folder, which is created at the first start. Throws when it
 * is malformed, and with what to do when the folder cannot be used.
 */
export async function masterKeyOf(configured: string | undefined, folder: string): Promise<Uint8Array> {
  const hex =
    configured ??
    (await storedIn(folder).catch((error: unknown) => {
      throw explainFile(error, resolve(folder));
    }));
  if (!/^[0-9a-f]{64}$/i.test(hex))
    throw new Error(`${configured === undefined ? join(folder, "master.key") : "KONTOR_MASTER_KEY"} must be 64 hex digits`);
  return Buffer.from(hex, "hex");
}

async function storedIn(folder: string): Promise<string> {
  const file = join(folder, "master.key");
  const stored = await readFile(file, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw error;
  });
  if (stored !== undefined) return stored.trim();
  const created = randomBytes(32).toString("hex");
  await mkdir(folder, { recursive: true });
  // Whole or not at all: a half-written key would lock the shop out of its own data.
  await writeFile(`${file}.new`, `${created}\n`, { mode: 0o600 });
  await rename(`${file}.new`, file);
  return created;
}
