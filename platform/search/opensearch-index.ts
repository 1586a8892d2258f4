import { createBulkWriter, deleteItem, putItem } from "./opensearch-bulk.ts";
import { createGenerations } from "./opensearch-generations.ts";
import type { GenerationOptions } from "./opensearch-generations.ts";
import { itemError } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";
import { isMissing } from "./opensearch-server-indexes.ts";
import { correctSpelling } from "./opensearch-spelling.ts";
import { facetsBody, facetsOf, pageBody, rowsOf } from "./opensearch-query.ts";
import type { FacetsResponse, PageResponse } from "./opensearch-query.ts";
import { nothingFound, pageOf, readQuery } from "./read-query.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchIndex, SearchQuery, SearchResult } from "./search.ts";
import { stopWords } from "./stop-words.ts";
import { textQuery } from "./terms.ts";
import type { TextQuery } from "./terms.ts";

type SearchResponse = PageResponse &
  FacetsResponse & { readonly status: number; readonly error?: { readonly type: string; readonly reason?: string } };
type Found = { readonly rows: readonly Position[]; readonly facets: SearchResult["facets"] };

/** Stop words have no stem; OpenSearch makes those of other words. */
const stemless: ReadonlyMap<string, string> = new Map(stopWords.map((word) => [word, ""]));

export function createOpenSearchIndex(name: string, options: GenerationOptions): SearchIndex {
  const { http, alias, log } = options;
  const next = `${alias}.next`;
  const generations = createGenerations(options);
  const write = createBulkWriter(options);
  const search = createSearch(http, alias);

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
          corrected = await correctSpelling(
            http,
            alias,
            typed.map(([word]) => word!),
          );
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

type Search = (query: SearchQuery, want: TextQuery | undefined, from: Position | undefined) => Promise<Found>;

/** Reads a page and its facets in one request. */
function createSearch(http: OpenSearchHttp, alias: string): Search {
  const header = JSON.stringify({ index: alias, allow_partial_search_results: false });
  return async (query, want, from) => {
    const bodies = [
      pageBody(query, want, from),
      ...(query.facets === undefined || query.facets.length === 0 ? [] : [facetsBody(query, want)]),
    ];
    const { responses } = await http.request<{ readonly responses: readonly SearchResponse[] }>({
      method: "POST",
      path: "/_msearch",
      query: { filter_path: "responses.hits.hits.sort,responses.aggregations.*.buckets,responses.error,responses.status,error" },
      lines: bodies.map((body) => `${header}\n${JSON.stringify(body)}\n`).join(""),
    });
    for (const { status, error } of responses) if (error !== undefined) throw itemError(status, error);
    return { rows: rowsOf(query, responses[0] ?? {}), facets: facetsOf(query, responses[1] ?? {}) };
  };
}
