/** What is found by text and filters. All of a document's facts are in these four bags. */
export interface SearchDocument {
  readonly id: string;
  /** Rises with each change; an older one never replaces a newer one. */
  readonly version: number;
  /** Texts by weight, most telling first: title, then tags, then description. */
  readonly text: { readonly a: string; readonly b: string; readonly c: string };
  /** Exact values: { category: ["cat_…"], status: ["PUBLISHED"] }. */
  readonly keywords: Readonly<Record<string, readonly string[]>>;
  /** Numbers to filter by range and to sort by. Minor units fit: safe integers only. A list matches when any of its numbers does; it sorts by its least. */
  readonly numbers: Readonly<Record<string, readonly number[]>>;
}

export interface SearchQuery {
  /** Words as a person types them, in any inflection, with typing errors. Absent: everything. */
  readonly text?: string;
  /** All must match; within one, any value. */
  readonly keywords?: Readonly<Record<string, readonly string[]>>;
  readonly ranges?: Readonly<Record<string, { readonly min?: number; readonly max?: number }>>;
  /** "relevance" needs `text`. `id` is always the last key, so that pages never overlap. */
  readonly sort: readonly ({ readonly by: "relevance" } | { readonly by: string; readonly descending: boolean })[];
  readonly limit: number;
  /** From an earlier answer to the same query, whichever engine gave it. */
  readonly cursor?: string;
  /** Keywords whose values are counted over all that matches. */
  readonly facets?: readonly string[];
}

export interface SearchResult {
  readonly ids: readonly string[];
  /** Absent on the last page. */
  readonly cursor?: string;
  readonly facets: Readonly<Record<string, readonly { readonly value: string; readonly count: number }[]>>;
}

/** What documents are put into. */
export interface SearchDocuments {
  /** Resolves when they can be found. Refuses with DEPENDENCY_UNAVAILABLE when the engine cannot take them now: some may be in then. */
  put(documents: readonly SearchDocument[]): Promise<void>;
  /** Takes them out. Only a newer version than the one that was there is sure to come in again. */
  delete(ids: readonly string[]): Promise<void>;
}

export interface SearchIndex extends SearchDocuments {
  /** Refuses with INVALID_CURSOR when the cursor is not of this query, with DEPENDENCY_UNAVAILABLE when the engine cannot answer now. */
  query(query: SearchQuery): Promise<SearchResult>;
  /**
   * Has the index hold what `fill` puts, and what others put and delete meanwhile, and nothing else. Until `fill` is done, queries are
   * answered from what was there before, or from a mixture. When it fails, the index is as complete as it was. Of several at a time the one
   * that began last counts.
   */
  rebuild(fill: (documents: SearchDocuments) => Promise<void>): Promise<void>;
}

/**
 * Told, each time that it is noticed, that an index does not hold everything because its engine has lost it or has just made it; `gap`
 * names this one loss, alike in all processes. Whoever listens sees to a rebuild; until that is done, queries are refused as unavailable.
 */
export type IndexLost = (gap: string) => void;

export interface Search {
  /** The index of this name: lower-case letters, digits, "-" and "_". It is made when it is first used. */
  index(name: string, lost?: IndexLost): SearchIndex;
}
