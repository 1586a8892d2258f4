import { refuse } from "../errors/refusal.ts";
import { decodeCursor, encodeCursor, keyCountOf } from "./search-cursor.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchQuery, SearchResult } from "./search.ts";
import { queryWords } from "./terms.ts";
import type { TypedWord } from "./words.ts";

/** What every engine reads from a query first. */
export interface ReadQuery {
  /** The words of its text; undefined when there is none. */
  readonly typed: readonly TypedWord[] | undefined;
  /** Where the page begins; undefined for the first one. */
  readonly from: Position | undefined;
  /** Nothing can match: a text without words, or a keyword without values. */
  readonly empty: boolean;
}

/** Refuses with INVALID_CURSOR, and with INVALID_REQUEST when there is no text for a relevance. */
export function readQuery(index: string, query: SearchQuery): ReadQuery {
  const typed = query.text === undefined || query.text.trim() === "" ? undefined : queryWords(query.text);
  if (typed === undefined && query.sort.some(({ by }) => by === "relevance"))
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "Sorting by relevance needs a text to be relevant to." });
  const from = query.cursor === undefined ? undefined : decodeCursor(index, query, query.cursor, keyCountOf(query));
  const empty = typed?.length === 0 || Object.values(query.keywords ?? {}).some((values) => values.length === 0);
  return { typed, from, empty };
}

/** The result of up to `limit` documents; `rows` has one more when there is another page. */
export function pageOf(
  index: string,
  query: SearchQuery,
  found: { readonly rows: readonly Position[]; readonly corrected: Position["corrected"]; readonly facets: SearchResult["facets"] },
): SearchResult {
  const { rows, corrected, facets } = found;
  const shown = rows.slice(0, query.limit);
  const ids = shown.map(({ id }) => id);
  const last = shown.at(-1);
  if (rows.length <= query.limit || last === undefined) return { ids, facets };
  return { ids, facets, cursor: encodeCursor(index, query, { ...last, ...(corrected !== undefined && { corrected }) }) };
}

/** The result when nothing matches. */
export function nothingFound({ facets = [] }: SearchQuery): SearchResult {
  return { ids: [], facets: Object.fromEntries(facets.map((name) => [name, []])) };
}
