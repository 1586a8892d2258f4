import type { OpenSearchHttp } from "./opensearch-http.ts";
import { anyWord } from "./opensearch-query.ts";
import { stopWords } from "./stop-words.ts";
import type { TextQuery } from "./terms.ts";
import { errorsMax, isCorrectable, nearest } from "./words.ts";

interface CountsResponse {
  readonly aggregations: { readonly found: { readonly buckets: Readonly<Record<string, { readonly doc_count: number }>> } };
  readonly suggest?: Readonly<Record<string, readonly { readonly options: readonly { readonly text: string }[] }[]>>;
}

const withoutMeaning = new Set(stopWords);
const nearbyMax = 24;

/**
 * The query's words with their spelling corrected: for each word itself, or, where no document has it, the nearest words that documents have.
 * Undefined when every word is in some document, or one has no word near it. Two requests.
 */
export async function correctSpelling(
  http: OpenSearchHttp,
  alias: string,
  words: readonly string[],
): Promise<TextQuery["words"] | undefined> {
  const significant = words.filter((word) => !withoutMeaning.has(word));
  if (significant.length === 0) return undefined;
  const first = await search(http, alias, {
    aggs: found(significant.map((word) => anyWord("abc", [word]))),
    suggest: Object.fromEntries(significant.flatMap((word, at) => (errorsMax(word) === 0 ? [] : [[`w${at}`, nearby(word)]]))),
  });
  const missing = significant.filter((_, at) => countOf(first, at) === 0);
  if (missing.length === 0) return undefined;
  const near = new Map(
    missing.map((word) => {
      const options = first.suggest?.[`w${significant.indexOf(word)}`]?.[0]?.options ?? [];
      return [word, options.map(({ text }) => text).filter(isCorrectable)];
    }),
  );
  const candidates = [...new Set([...near.values()].flat())];
  if (candidates.length === 0) return undefined;
  // The dictionary still has the words of deleted documents.
  const known = await search(http, alias, { aggs: found(candidates.map((word) => ({ term: { words: word } }))) });
  const present = new Set(candidates.filter((_, at) => countOf(known, at) > 0));
  const corrected = significant.map((word) => {
    const others = near.get(word);
    return others === undefined
      ? [word]
      : nearest(
          word,
          others.filter((one) => present.has(one)),
        );
  });
  return corrected.every((alternatives) => alternatives.length > 0) ? corrected : undefined;
}

function search(http: OpenSearchHttp, alias: string, body: object): Promise<CountsResponse> {
  return http.request<CountsResponse>({
    method: "POST",
    path: `/${alias}/_search`,
    query: { allow_partial_search_results: "false" },
    body: { size: 0, track_total_hits: false, ...body },
  });
}

/** Counts the documents of each clause. */
function found(clauses: readonly object[]): object {
  return { found: { filters: { filters: Object.fromEntries(clauses.map((clause, at) => [`w${at}`, clause])) } } };
}

function countOf({ aggregations }: CountsResponse, at: number): number {
  return aggregations.found.buckets[`w${at}`]?.doc_count ?? 0;
}

function nearby(word: string): object {
  return {
    text: word,
    term: {
      field: "words",
      suggest_mode: "always",
      sort: "score",
      size: nearbyMax,
      max_edits: errorsMax(word),
      prefix_length: 0,
      min_word_length: 1,
      // All that are near enough: which of them are used is decided here.
      accuracy: 0.1,
      max_term_freq: 1_000_000_000,
    },
  };
}
