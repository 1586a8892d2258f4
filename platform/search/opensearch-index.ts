import { refuse } from "../errors/refusal.ts";
import { storedDocument } from "./opensearch-fields.ts";
import { createGenerations, isMissing } from "./opensearch-generations.ts";
import type { GenerationOptions } from "./opensearch-generations.ts";
import { itemError, OpenSearchFault } from "./opensearch-http.ts";
import { correctSpelling } from "./opensearch-spelling.ts";
import { facetsBody, facetsOf, pageBody, rowsOf } from "./opensearch-query.ts";
import type { FacetsResponse, PageResponse } from "./opensearch-query.ts";
import { nothingFound, pageOf, readQuery } from "./read-query.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchDocument, SearchIndex, SearchQuery, SearchResult } from "./search.ts";
import { stopWords } from "./stop-words.ts";
import { textQuery } from "./terms.ts";
import type { TextQuery } from "./terms.ts";

type ItemResponse = Readonly<
  Record<string, { readonly status: number; readonly error?: { readonly type: string; readonly reason: string } }>
>;
type SearchResponse = PageResponse &
  FacetsResponse & { readonly status: number; readonly error?: { readonly type: string; readonly reason?: string } };
type Found = { readonly rows: readonly Position[]; readonly facets: SearchResult["facets"] };
/** A line or two of a bulk request, for the index of a name. */
type Item = (index: string) => string;

/** A body of lines is sent when it is this long. */
const linesLengthMax = 4_000_000;
const bulkMs = 5_000;
/** Stop words have no stem; OpenSearch makes those of other words. */
const stemless: ReadonlyMap<string, string> = new Map(stopWords.map((word) => [word, ""]));

export function createOpenSearchIndex(name: string, options: GenerationOptions): SearchIndex {
  const { http, alias, log } = options;
  const next = `${alias}.next`;
  const generations = createGenerations(options);
  const searchHeader = JSON.stringify({ index: alias, allow_partial_search_results: false });
  let writable = true;

  /** Repeats the work when the index is missing: it was deleted, or has just been replaced. */
  const opened = async <T>(purpose: "to read" | "to write", work: () => Promise<T>): Promise<T> => {
    await generations.open(purpose);
    try {
      return await work();
    } catch (error) {
      if (!isMissing(error)) throw error;
      generations.missing();
      await generations.open(purpose);
      return work();
    }
  };

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
  const write = async (items: readonly Item[], to: readonly string[], visible: boolean): Promise<void> => {
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
  const search = async (query: SearchQuery, want: TextQuery | undefined, from: Position | undefined): Promise<Found> => {
    const bodies = [
      pageBody(query, want, from),
      ...(query.facets === undefined || query.facets.length === 0 ? [] : [facetsBody(query, want)]),
    ];
    const { responses } = await http.request<{ readonly responses: readonly SearchResponse[] }>({
      method: "POST",
      path: "/_msearch",
      query: { filter_path: "responses.hits.hits.sort,responses.aggregations.*.buckets,responses.error,responses.status,error" },
      lines: bodies.map((body) => `${searchHeader}\n${JSON.stringify(body)}\n`).join(""),
    });
    for (const { status, error } of responses) if (error !== undefined) throw itemError(status, error);
    return { rows: rowsOf(query, responses[0] ?? {}), facets: facetsOf(query, responses[1] ?? {}) };
  };

  return {
    put: async (documents) => {
      if (documents.length > 0) await opened("to write", () => write(documents.map(putItem), [alias, next], true));
    },
    delete: async (ids) => {
      if (ids.length > 0) await opened("to write", () => write(ids.map(deleteItem), [alias, next], true));
    },
    query: async (query) => {
      const { typed, from, empty } = readQuery(name, query);
      if (empty) return nothingFound(query);
      return opened("to read", async () => {
        let corrected = from?.corrected;
        const want = corrected === undefined ? typed && textQuery(typed, stemless) : { words: corrected };
        let found = await search(query, want, from);
        if (found.rows.length === 0 && typed !== undefined && from === undefined) {
          corrected = await correctSpelling(http, alias, typed);
          if (corrected !== undefined) found = await search(query, { words: corrected }, undefined);
        }
        return pageOf(name, query, { ...found, corrected });
      });
    },
    rebuild: async (fill) => {
      await generations.open("to write");
      const generation = await generations.begin();
      try {
        await fill({
          put: (documents) => write(documents.map(putItem), [next], false),
          delete: (ids) => write(ids.map(deleteItem), [next], false),
        });
      } catch (error) {
        await generations
          .abandon(generation)
          .catch((left: unknown) =>
            log.warn({ index: generation, error: left }, "an unfinished search index could not be deleted; the next rebuild deletes it"),
          );
        throw error;
      }
      // The later one reads the same data, or newer.
      if (!(await generations.finish(generation)))
        log.info({ index: alias }, "another rebuild of the search index has begun since and replaces this one");
    },
  };
}

function putItem(document: SearchDocument): Item {
  const { id, version } = document;
  const stored = storedDocument(document);
  // The same version again has no effect, and is accepted after a delete, which counts as the next version.
  return (index) => `${JSON.stringify({ index: { _index: index, _id: id, version, version_type: "external_gte" } })}\n${stored}\n`;
}

function deleteItem(id: string): Item {
  return (index) => `${JSON.stringify({ delete: { _index: index, _id: id } })}\n`;
}
