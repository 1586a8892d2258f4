import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { storedDocument } from "./opensearch-fields.ts";
import { OpenSearchFault } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";
import type { SearchDocument } from "./search.ts";

type ItemResponse = Readonly<
  Record<string, { readonly status: number; readonly error?: { readonly type: string; readonly reason: string } }>
>;
/** A line or two of a bulk request, for the index of a name. */
export type Item = (index: string) => string;

/** A body of lines is sent when it is this long. */
const linesLengthMax = 4_000_000;
const bulkMs = 5_000;

/**
 * Writes items to each index of a list, of which `<alias>.next` may be missing; with `visible` it resolves when they can be found. Refuses with
 * DEPENDENCY_UNAVAILABLE when OpenSearch accepts no documents, which is logged once; throws when one is wrong or the index is missing.
 */
export type BulkWriter = (items: readonly Item[], to: readonly string[], visible: boolean) => Promise<void>;

export function createBulkWriter({
  http,
  alias,
  log,
}: {
  readonly http: OpenSearchHttp;
  readonly alias: string;
  readonly log: Logger;
}): BulkWriter {
  const next = `${alias}.next`;
  let writable = true;

  const bulk = async (lines: string, visible: boolean): Promise<readonly ItemResponse[]> => {
    const { items } = await http.request<{ readonly items: readonly ItemResponse[] }>({
      method: "POST",
      path: "/_bulk",
      // A write must not create a missing index.
      query: {
        require_alias: "true",
        refresh: visible ? "wait_for" : "false",
        filter_path: "items.*.status,items.*.error.type,items.*.error.reason,error.type,error.reason",
      },
      lines,
      timeoutMs: bulkMs,
    });
    return items;
  };
  const write: BulkWriter = async (items, to, visible) => {
    for (let at = 0; at < items.length;) {
      let lines = "";
      for (; at < items.length && lines.length < linesLengthMax; at++) for (const index of to) lines += items[at]!(index);
      // When the last can be found, so can all before it.
      const responses = await bulk(lines, visible && at === items.length);
      for (const [n, response] of responses.entries()) check(response, to[n % to.length]!);
      if (!writable) log.info({ index: alias }, "OpenSearch accepts documents again");
      writable = true;
    }
  };
  const check = (response: ItemResponse, index: string): void => {
    const { status, error } = Object.values(response)[0]!;
    // A newer version is stored already.
    if (error === undefined || status === 409) return;
    if (error.type === "index_not_found_exception") {
      if (index === next) return;
      throw new OpenSearchFault(status, error.type, error.reason);
    }
    const fault = new OpenSearchFault(status, error.type, `OpenSearch rejects a document: ${error.type}: ${error.reason}`);
    if (status === 400) throw fault;
    if (writable) log.warn({ index: alias, error: fault }, "OpenSearch accepts no documents; putting them is retried");
    writable = false;
    throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The search engine cannot write", cause: fault });
  };
  return write;
}

/** Puts a document unless a newer version is stored. */
export function putItem(document: SearchDocument): Item {
  const { id, version } = document;
  const stored = storedDocument(document);
  // The same version again has no effect, and is accepted after a delete, which counts as the next version.
  return (index) => `${JSON.stringify({ index: { _index: index, _id: id, version, version_type: "external_gte" } })}\n${stored}\n`;
}

export function deleteItem(id: string): Item {
  return (index) => `${JSON.stringify({ delete: { _index: index, _id: id } })}\n`;
}
