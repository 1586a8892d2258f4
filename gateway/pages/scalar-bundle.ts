import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Page } from "./page.ts";
import manifest from "./scalar/manifest.json" with { type: "json" };

/** Where Scalar's bundle is served: another bundle has another path, so browsers may store it for ever. */
export const scalarPath = `/docs/scalar-${manifest.sha256.slice(0, 20)}.js`;

/** Scalar's bundle, stored compressed and read when it is first requested. */
export function scalarPage(): Page {
  let stored: Promise<Buffer> | undefined;
  return async (_, { headers }) => {
    stored ??= readFile(new URL("./scalar/standalone.js.gz", import.meta.url));
    const compressed = acceptsGzip(headers["accept-encoding"]);
    return {
      status: 200,
      type: "text/javascript; charset=utf-8",
      body: compressed ? await stored : await promisify(gunzip)(await stored),
      policy: "page",
      cacheControl: "public, max-age=31536000, immutable",
      headers: ["Vary", "Accept-Encoding", ...(compressed ? ["Content-Encoding", "gzip"] : [])],
    };
  };
}

function acceptsGzip(header: string | string[] | undefined): boolean {
  const [, quality] = /\bgzip\b(?:\s*;\s*q=([\d.]+))?/i.exec(String(header)) ?? [undefined, "0"];
  return Number(quality ?? 1) > 0;
}
