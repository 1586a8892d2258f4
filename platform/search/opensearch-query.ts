import { fieldOf, isHashed, storedKeyword } from "./opensearch-fields.ts";
import { absentNumber, boundsOf } from "./numbers.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchQuery, SearchResult } from "./search.ts";
import { matchesParts } from "./terms.ts";
import type { TextQuery } from "./terms.ts";

type Clause = Readonly<Record<string, unknown>>;

/** What is read of the response to `pageBody`. */
export interface PageResponse {
  readonly hits?: { readonly hits?: readonly { readonly sort: readonly (number | string)[] }[] };
}

/** What is read of the response to `facetsBody`. */
export interface FacetsResponse {
  readonly aggregations?: Readonly<Record<string, { readonly buckets: readonly { readonly key: string; readonly doc_count: number }[] }>>;
}

/** The tiers of relevance, the most relevant first; the fourth is that of beginnings of words. Of a document's scores the greatest counts. */
const tierFields = ["a", "ab", "abc"] as const;
const scoreMax = 4;
const facetValuesMax = 100;

/** One page after `from`, in order, with one more than the limit when there is another page. */
export function pageBody(query: SearchQuery, want: TextQuery | undefined, from: Position | undefined): Clause {
  const ranked = want !== undefined && query.sort.some(({ by }) => by === "relevance");
  return {
    size: query.limit + 1,
    _source: false,
    track_total_hits: false,
    query: { bool: ranked ? { filter: filters(query), must: tiers(want) } : { filter: matching(query, want) } },
    sort: [...query.sort.flatMap(sortKeys), { id: "asc" }],
    ...(from !== undefined && { search_after: [...searchAfter(query, from.keys), from.id] }),
  };
}

/**
 * The facets of all that matches. A search of its own, because OpenSearch caches the results of searches without hits until the index
 * changes, and because with a page it would not count what is before `search_after`.
 */
export function facetsBody(query: SearchQuery, want: TextQuery | undefined): Clause {
  const facets = (query.facets ?? []).map((name, at) => [
    `f${at}`,
    { terms: { field: fieldOf("keywords", name), size: facetValuesMax, order: [{ _count: "desc" }, { _key: "asc" }] } },
  ]);
  return {
    size: 0,
    track_total_hits: false,
    query: { bool: { filter: matching(query, want) } },
    aggs: Object.fromEntries(facets) as Clause,
  };
}

/** The positions of a page's documents. */
export function rowsOf(query: SearchQuery, { hits }: PageResponse): Position[] {
  return (hits?.hits ?? []).map(({ sort }) => ({ keys: keysOf(query, sort), id: String(sort.at(-1)) }));
}

export function facetsOf({ facets = [] }: SearchQuery, { aggregations = {} }: FacetsResponse): SearchResult["facets"] {
  return Object.fromEntries(
    facets.map((name, at) => [
      name,
      (aggregations[`f${at}`]?.buckets ?? [])
        .filter(({ key }) => !isHashed(key))
        .map(({ key, doc_count: count }) => ({ value: key, count })),
    ]),
  );
}

/** Matches of any of these words in a field, in any inflection. */
export function anyWord(field: (typeof tierFields)[number], alternatives: readonly string[]): Clause {
  return { match: { [field]: { query: alternatives.join(" ") } } };
}

function anywhere({ words, prefix, ends }: TextQuery): Clause {
  return all(
    words.map((word, at) => {
      const end = ends?.[at];
      const parts = [
        ...(at === words.length - 1 && prefix !== undefined ? [{ prefix: { words: prefix } }] : []),
        ...(end === undefined ? [] : [{ prefix: { ends: end } }]),
      ];
      return parts.length === 0 ? anyWord("abc", word) : { bool: { should: [anyWord("abc", word), ...parts] } };
    }),
  );
}

function tiers(want: TextQuery): Clause {
  const within = tierFields.map((field) => all(want.words.map((word) => anyWord(field, word))));
  if (matchesParts(want)) within.push(anywhere(want));
  return { dis_max: { queries: within.map((filter, tier) => ({ constant_score: { filter, boost: scoreMax - tier } })) } };
}

function all(filter: readonly Clause[]): Clause {
  return filter.length === 1 ? filter[0]! : { bool: { filter } };
}

function matching(query: SearchQuery, want: TextQuery | undefined): Clause[] {
  return want === undefined ? filters(query) : [...filters(query), anywhere(want)];
}

function filters(query: SearchQuery): Clause[] {
  return [...keywords(query), ...ranges(query)];
}

function keywords({ keywords: wanted = {} }: SearchQuery): Clause[] {
  return Object.entries(wanted).map(([name, values]) => ({ terms: { [fieldOf("keywords", name)]: values.map(storedKeyword) } }));
}

function ranges({ ranges: wanted = {} }: SearchQuery): Clause[] {
  return Object.entries(wanted).map(([name, range]) => {
    const { from, to } = boundsOf(range);
    return { range: { [fieldOf("numbers", name)]: { gte: from, lte: to } } };
  });
}

function sortKeys(key: SearchQuery["sort"][number]): Clause[] {
  if (!("descending" in key)) return [{ _score: "desc" }, { titleWords: "asc" }];
  const [order, missing] = key.descending ? ["desc", -absentNumber] : ["asc", absentNumber];
  return [{ [fieldOf("numbers", key.by)]: { order, mode: "min", missing, unmapped_type: "long" } }];
}

/** Sort values as a position's keys, which all ascend. */
function keysOf({ sort }: SearchQuery, values: readonly (number | string)[]): string[] {
  let at = 0;
  return sort.flatMap((key) => {
    const value = Number(values[at++]);
    if (!("descending" in key)) return [String(scoreMax - value), String(values[at++])];
    return [String(key.descending && value !== 0 ? -value : value)];
  });
}

/** A position's keys as sort values: the reverse of `keysOf`. */
function searchAfter({ sort }: SearchQuery, keys: readonly string[]): number[] {
  let at = 0;
  return sort.flatMap((key) => {
    const value = Number(keys[at++]);
    if (!("descending" in key)) return [scoreMax - value, Number(keys[at++])];
    return [key.descending && value !== 0 ? -value : value];
  });
}
