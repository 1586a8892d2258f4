import type { OpenSearchHttp } from "./opensearch-http.ts";
import { anyWord } from "./opensearch-query.ts";
import { stopWords } from "./stop-words.ts";
import type { Wanted } from "./terms.ts";
import { errorsMax, isMendable, nearest } from "./words.ts";

interface FoundAnswer {
  readonly aggregations: { readonly found: { readonly buckets: Readonly<Record<string, { readonly doc_count: number }>> } };
  readonly suggest?: Readonly<Record<string, readonly { readonly options: readonly { readonly text: string }[] }[]>>;
}

const silent = new Set(stopWords);
const nearbyMax = 24;

/**
 * What may have been meant by words of which at least one is in no document: for each word itself, or the nearest words that documents
 * have. Undefined when there is nothing to mend or no such word. Two requests.
 */
export async function mend(http: OpenSearchHttp, alias: string, words: readonly string[]): Promise<Wanted["words"] | undefined> {
  const telling = words.filter((word) => !silent.has(word));
  if (telling.length === 0) return undefined;
  const asked = await ask(http, alias, {
    aggs: found(telling.map((word) => anyWord("abc", [word]))),
    suggest: Object.fromEntries(telling.flatMap((word, at) => (errorsMax(word) === 0 ? [] : [[`w${at}`, nearby(word)]]))),
  });
  const missing = telling.filter((_, at) => countOf(asked, at) === 0);
  if (missing.length === 0) return undefined;
  const near = new Map(
    missing.map((word) => {
      const options = asked.suggest?.[`w${telling.indexOf(word)}`]?.[0]?.options ?? [];
      return [word, options.map(({ text }) => text).filter(isMendable)];
    }),
  );
  const candidates = [...new Set([...near.values()].flat())];
  if (candidates.length === 0) return undefined;
  // The dictionary still knows the words of what was deleted.
  const known = await ask(http, alias, { aggs: found(candidates.map((word) => ({ term: { words: word } }))) });
  const living = new Set(candidates.filter((_, at) => countOf(known, at) > 0));
  const mended = telling.map((word) => {
    const others = near.get(word);
    return others === undefined
      ? [word]
      : nearest(
          word,
          others.filter((one) => living.has(one)),
        );
  });
  return mended.every((alternatives) => alternatives.length > 0) ? mended : undefined;
}

function ask(http: OpenSearchHttp, alias: string, body: object): Promise<FoundAnswer> {
  return http.request<FoundAnswer>({
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

function countOf({ aggregations }: FoundAnswer, at: number): number {
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
      // Whatever is near enough: which of them are meant is decided here.
      accuracy: 0.1,
      max_term_freq: 1_000_000_000,
    },
  };
}
