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
}

/** A collection of documents. Expiry is checked on reading, against the clock given. */
export interface Collection<Body> {
  get(id: string, now: Date): Promise<Document<Body> | undefined>;
  /** Writes one document; gives its new version. Refuses with VERSION_CONFLICT (aborted) when the version is another one. */
  put(id: string, body: Body, options: PutOptions): Promise<number>;
  /** Deletes; nothing happens for what is not there. */
  delete(...ids: readonly string[]): Promise<void>;
  /** Removes what has expired; gives how many. */
  sweep(now: Date): Promise<number>;
}

export interface Documents {
  collection<Body extends object>(name: string): Collection<Body>;
}
