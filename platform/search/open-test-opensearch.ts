import { randomUUID } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { createOpenSearch } from "./opensearch.ts";
import type { OpenSearch, OpenSearchOptions } from "./opensearch.ts";

export interface TestOpenSearch extends OpenSearch {
  readonly url: string;
  readonly prefix: string;
  /** The server's response: for tests that bypass the seam. */
  request(method: string, path: string, body?: object): Promise<unknown>;
  /** Stops it and deletes its indexes; called after the tests unless the caller does it. */
  drop(): Promise<void>;
}

/**
 * A search of a test's own in the real OpenSearch, dropped after the test, suite or file that opened it. With `dropped: "by the caller"` for
 * tests whose services run until then: a request of theirs would create an index after the end.
 */
export function openTestOpenSearch({
  dropped,
  ...options
}: Partial<OpenSearchOptions> & { readonly dropped?: "by the caller" } = {}): TestOpenSearch {
  const url = engineAddress("ENGINE_OPENSEARCH");
  const prefix = options.prefix ?? `test-${randomUUID()}-`;
  const search = createOpenSearch({ url, prefix, log: quiet, refreshMs: 10, ...options });
  const request = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return response.json();
  };
  const drop = async (): Promise<void> => {
    await search.stop();
    const left = Object.keys((await request("GET", `/${prefix}*`)) as object);
    if (left.length > 0) await request("DELETE", `/${left.join(",")}`);
  };
  if (dropped === undefined) afterTests(drop);
  return { ...search, url, prefix, request, drop };
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
