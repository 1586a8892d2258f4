import { hash } from "node:crypto";

/**
 * Makes pseudonyms of clients' addresses with a secret: equal for equal addresses, in all gateways of an installation. Services count by them, and
 * store them, without knowing anybody's address.
 */
export function createOrigins(secret: Uint8Array): (address: string) => string {
  const key = Buffer.from(secret).toString("base64url");
  return (address) => hash("sha256", `${key} ${address}`, "base64url").slice(0, 22);
}
