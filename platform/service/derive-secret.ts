import { hkdfSync } from "node:crypto";

/** A secret of 32 bytes for one purpose, derived from the master key: the same in every process of an installation. */
export function deriveSecret(masterKey: Uint8Array, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", masterKey, "", `kontor ${purpose}`, 32));
}
