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
  /** From an earlier answer to the same query. */
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

export interface SearchIndex {
  put(documents: readonly SearchDocument[]): Promise<void>;
  delete(ids: readonly string[]): Promise<void>;
  /** Refuses with INVALID_CURSOR when the cursor is not of this query. */
  query(query: SearchQuery): Promise<SearchResult>;
  /** Empties the index, to be filled again. */
  clear(): Promise<void>;
}

export interface Search {
  index(name: string): SearchIndex;
}
