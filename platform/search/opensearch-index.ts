import { refuse } from "../errors/refusal.ts";
import { storedDocument } from "./opensearch-fields.ts";
import { createGenerations, isMissing } from "./opensearch-generations.ts";
import type { GenerationOptions } from "./opensearch-generations.ts";
import { itemError, OpenSearchFault } from "./opensearch-http.ts";
import { mend } from "./opensearch-mending.ts";
import { facetsBody, facetsOf, pageBody, rowsOf } from "./opensearch-query.ts";
import type { FacetsAnswer, PageAnswer } from "./opensearch-query.ts";
import { nothingFound, pageOf, readQuery } from "./read-query.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchDocument, SearchIndex, SearchQuery, SearchResult } from "./search.ts";
import { stopWords } from "./stop-words.ts";
import { wanted } from "./terms.ts";
import type { Wanted } from "./terms.ts";

type ItemAnswer = Readonly<
  Record<string, { readonly status: number; readonly error?: { readonly type: string; readonly reason: string } }>
>;
type SearchAnswer = PageAnswer &
  FacetsAnswer & { readonly status: number; readonly error?: { readonly type: string; readonly reason?: string } };
type Found = { readonly rows: readonly Position[]; readonly facets: SearchResult["facets"] };
/** A line or two of a bulk request, for an index that is called so. */
type Item = (index: string) => string;

/** A body of lines is sent when it is that long. */
const linesLengthMax = 4_000_000;
const bulkMs = 5_000;
/** Words that say nothing have no stem here; the others' are OpenSearch's affair. */
const stemless: ReadonlyMap<string, string> = new Map(stopWords.map((word) => [word, ""]));

export function createOpenSearchIndex(name: string, options: GenerationOptions): SearchIndex {
  const { http, alias, log } = options;
  const next = `${alias}.next`;
  const generations = createGenerations(options);
  const searchHeader = JSON.stringify({ index: alias, allow_partial_search_results: false });
  let writable = true;

  /** Does it again when the index turns out to be missing: it was deleted, or replaced just now. */
  const opened = async <T>(wantedTo: "to read" | "to write", work: () => Promise<T>): Promise<T> => {
    await generations.open(wantedTo);
    try {
      return await work();
    } catch (error) {
      if (!isMissing(error)) throw error;
      generations.missing();
      await generations.open(wantedTo);
      return work();
    }
  };

  const bulk = async (lines: string, visible: boolean): Promise<readonly ItemAnswer[]> => {
    const { items } = await http.request<{ readonly items: readonly ItemAnswer[] }>({
      method: "POST",
      path: "/_bulk",
      // An index that is not there must not be made by writing to it.
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
      // What is seen of the last is seen of all before it.
      const answers = await bulk(lines, visible && at === items.length);
      for (const [n, answer] of answers.entries()) check(answer, to[n % to.length]!);
      if (!writable) log.info({ index: alias }, "OpenSearch takes documents again");
      writable = true;
    }
  };
  const check = (answer: ItemAnswer, index: string): void => {
    const { status, error } = Object.values(answer)[0]!;
    // A newer version is there already.
    if (error === undefined || status === 409) return;
    if (error.type === "index_not_found_exception") {
      if (index === next) return;
      throw new OpenSearchFault(status, error.type, error.reason);
    }
    const fault = new OpenSearchFault(status, error.type, `OpenSearch does not take a document: ${error.type}: ${error.reason}`);
    if (status === 400) throw fault;
    if (writable) log.warn({ index: alias, error: fault }, "OpenSearch takes no documents; they are put again and again");
    writable = false;
    throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "The search engine cannot write", cause: fault });
  };
  const search = async (query: SearchQuery, want: Wanted | undefined, from: Position | undefined): Promise<Found> => {
    const bodies = [
      pageBody(query, want, from),
      ...(query.facets === undefined || query.facets.length === 0 ? [] : [facetsBody(query, want)]),
    ];
    const { responses } = await http.request<{ readonly responses: readonly SearchAnswer[] }>({
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
        let mended = from?.mended;
        const want = mended === undefined ? typed && wanted(typed, stemless) : { words: mended };
        let found = await search(query, want, from);
        if (found.rows.length === 0 && typed !== undefined && from === undefined) {
          mended = await mend(http, alias, typed);
          if (mended !== undefined) found = await search(query, { words: mended }, undefined);
        }
        return pageOf(name, query, { ...found, mended });
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
            log.warn({ index: generation, error: left }, "half a search index is left behind; the next rebuild deletes it"),
          );
        throw error;
      }
      // The one that began later reads what this one has read, or newer.
      if (!(await generations.finish(generation)))
        log.info({ index: alias }, "another rebuild of a search index has begun since; that one counts");
    },
  };
}

function putItem(document: SearchDocument): Item {
  const { id, version } = document;
  const stored = storedDocument(document);
  // The same version again does no harm, and comes in after a delete, which counts as the next version.
  return (index) => `${JSON.stringify({ index: { _index: index, _id: id, version, version_type: "external_gte" } })}\n${stored}\n`;
}

function deleteItem(id: string): Item {
  return (index) => `${JSON.stringify({ delete: { _index: index, _id: id } })}\n`;
}
