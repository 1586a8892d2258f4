import type { Sql } from "../database/sql.ts";

/** A stored document: JSON with a version that rises by one at each write. */
export interface Document<Body> {
  readonly id: string;
  readonly version: number;
  readonly body: Body;
  readonly expiresAt: Date | undefined;
}

export interface PutOptions {
  /** The version that it must have now; 0 for a new one. */
  readonly expectedVersion: number;
  /** Not found from then on. Absent: never expires. */
  readonly expiresAt?: Date;
  /** The version that it gets, for a new one that comes from another store: 1 by default. */
  readonly startsAt?: number;
}

/**
 * A collection of documents. Expiry is checked on reading, against the time passed. An id is any text, and distinct from every other text.
 *
 * All refuse with DEPENDENCY_UNAVAILABLE (unavailable) when the store is unreachable. For `put` and `delete` the outcome is then unknown: read
 * again. The store never repeats a write by itself, because the second would be refused on account of the first.
 */
export interface Collection<Body> {
  get(id: string, now: Date): Promise<Document<Body> | undefined>;
  /**
   * Writes one document, as JSON; returns its new version. Refuses with VERSION_CONFLICT (aborted) when the version is another one. A document that has
   * expired has its version here until it is swept; a store may also remove it by itself, a day later at the earliest.
   */
  put(id: string, body: Body, options: PutOptions): Promise<number>;
  /**
   * Deletes each by itself; an id that does not exist is ignored. An id that is used again begins at version 1: a caller that has read version 1
   * of the former document would write over the new one, so ids of documents that are deleted are best used once.
   */
  delete(...ids: readonly string[]): Promise<void>;
  /**
   * Deletes those that still have these versions, as an SQL fragment, `delete … returning id`, for a statement in the service's own database. Absent where
   * the documents are in another store.
   */
  readonly deleteSql?: (documents: readonly Pick<Document<Body>, "id" | "version">[]) => Sql;
  /** Removes expired documents; returns how many. */
  sweep(now: Date): Promise<number>;
}

export interface Documents {
  /** `name` is of letters, digits, "-" and "_". Throws when it is not. */
  collection<Body extends object>(name: string): Collection<Body>;
}

/** Documents in a server of their own. */
export interface DocumentsServer extends Documents {
  /**
   * Connects. An unreachable server is logged and retried until it responds; meanwhile every call is refused at once. Throws, with what to do,
   * when the address is wrong or the server rejects the connection.
   */
  start(): Promise<void>;
  /** Closes the connections; every call is refused from then on. Safe to repeat. */
  stop(): Promise<void>;
  /** Whether the server is connected now. */
  ready(): boolean;
}

/** The name, which is safe to use in a key or the name of a table. Throws when it is not. */
export function collectionName(name: string): string {
  if (!/^[\w-]{1,60}$/.test(name)) throw new Error(`"${name}" cannot name a collection: letters, digits, - and _ can, 60 at most`);
  return name;
}
