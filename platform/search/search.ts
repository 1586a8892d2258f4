/** A document that is found by text and filters. */
export interface SearchDocument {
  readonly id: string;
  /** Rises with each change; an older one never replaces a newer one. */
  readonly version: number;
  /** Texts by weight, the heaviest first: title, then tags, then description. */
  readonly text: { readonly a: string; readonly b: string; readonly c: string };
  /** Exact values: { category: ["cat_…"], status: ["PUBLISHED"] }. */
  readonly keywords: Readonly<Record<string, readonly string[]>>;
  /** Numbers to filter by range and to sort by. Minor units fit: safe integers only. A list matches when any of its numbers does; it sorts by its least. */
  readonly numbers: Readonly<Record<string, readonly number[]>>;
}

export interface SearchQuery {
  /** Words as a person types them, in any inflection, with typing errors. Absent: all documents. */
  readonly text?: string;
  /** All must match; within one, any value. */
  readonly keywords?: Readonly<Record<string, readonly string[]>>;
  readonly ranges?: Readonly<Record<string, { readonly min?: number; readonly max?: number }>>;
  /** "relevance" needs `text`. `id` is always the last key, so that pages never overlap. */
  readonly sort: readonly ({ readonly by: "relevance" } | { readonly by: string; readonly descending: boolean })[];
  /** 0 for facets alone. */
  readonly limit: number;
  /** From an earlier result of the same query, by either engine. */
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

/** The documents of an index, for writing. */
export interface SearchDocuments {
  /** Resolves when they can be found. Refuses with DEPENDENCY_UNAVAILABLE when the engine cannot write them now: some may be written then. */
  put(documents: readonly SearchDocument[]): Promise<void>;
  /** Removes them. Only a newer version than the removed one is certain to be accepted again. */
  delete(ids: readonly string[]): Promise<void>;
}

export interface SearchIndex extends SearchDocuments {
  /** Refuses with INVALID_CURSOR when the cursor is not of this query, with DEPENDENCY_UNAVAILABLE when the engine cannot respond now. */
  query(query: SearchQuery): Promise<SearchResult>;
  /**
   * Replaces the index's documents by those that `fill` puts, and by what others put and delete meanwhile. Until `fill` is done, queries find the
   * former documents, or a mixture. When it fails, the index is as complete as before. Of concurrent rebuilds the one that began last counts.
   */
  rebuild(fill: (documents: SearchDocuments) => Promise<void>): Promise<void>;
}

/**
 * Called each time that an index is found to be incomplete, because its engine has lost it or has just created it, or it was made by other rules; `gap` names this one loss,
 * the same in all processes. The callee starts a rebuild; until that is done, queries are refused as unavailable.
 */
export type IndexLost = (gap: string) => void;

export interface Search {
  /** The index of this name: lower-case letters, digits, "-" and "_". It is created when it is first used. */
  index(name: string, lost?: IndexLost): SearchIndex;
}
