import { hash } from "node:crypto";

/** The strong entity tag of a response's body; with its resource's version in front where a client can wait for another one. */
export function etagOf(body: string | Uint8Array, version?: number): string {
  const digest = hash("sha256", body, "base64url").slice(0, 27);
  return version === undefined ? `"${digest}"` : `"${version}.${digest}"`;
}

/** Whether an `If-None-Match` header names this tag. */
export function matchesEtag(header: string, etag: string): boolean {
  return header === etag || header === "*" || header.split(",").some((one) => one.trim().replace(/^W\//, "") === etag);
}

/** The latest version that an `If-None-Match` header names; undefined when it names none. */
export function versionIn(header: string): number | undefined {
  const versions = Array.from(header.matchAll(/"(\d{1,9})\.[\w-]{27}"/g), ([, version]) => Number(version));
  return versions.length === 0 ? undefined : Math.max(...versions);
}
