import { hash } from "node:crypto";

/** The strong entity tag of a response's body. */
export function etagOf(body: string | Uint8Array): string {
  return `"${hash("sha256", body, "base64url").slice(0, 27)}"`;
}

/** Whether an `If-None-Match` header names this tag. */
export function matchesEtag(header: string, etag: string): boolean {
  return header === etag || header === "*" || header.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}
