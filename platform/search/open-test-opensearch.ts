import { randomUUID } from "node:crypto";
import type { Logger } from "../telemetry/logger.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { createOpenSearch } from "./opensearch.ts";
import type { OpenSearch, OpenSearchOptions } from "./opensearch.ts";

export interface TestOpenSearch extends OpenSearch {
  readonly url: string;
  readonly prefix: string;
  /** Whatever the server answers: for looking behind the seam. */
  ask(method: string, path: string, body?: object): Promise<unknown>;
  /** Ends it and deletes its indexes; happens by itself unless the caller does it. */
  drop(): Promise<void>;
}

/**
 * A search of a test's own in the real OpenSearch, dropped after the test, suite or file that asked for it. With `dropped: "by the caller"` for
 * those whose services go on until then: what they are just asking for would be made after the end.
 */
export function openTestOpenSearch({
  dropped,
  ...options
}: Partial<OpenSearchOptions> & { readonly dropped?: "by the caller" } = {}): TestOpenSearch {
  const url = engineAddress("ENGINE_OPENSEARCH");
  const prefix = options.prefix ?? `test-${randomUUID()}-`;
  const search = createOpenSearch({ url, prefix, log: quiet, refreshMs: 10, ...options });
  const ask = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      ...(body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return response.json();
  };
  const drop = async (): Promise<void> => {
    await search.stop();
    const left = Object.keys((await ask("GET", `/${prefix}*`)) as object);
    if (left.length > 0) await ask("DELETE", `/${left.join(",")}`);
  };
  if (dropped === undefined) afterTests(drop);
  return { ...search, url, prefix, ask, drop };
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
