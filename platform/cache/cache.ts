/**
 * Values, counters, locks and messages that may be lost at any time without changing a result. No call fails because the engine is away:
 * then it answers at once, as if nothing were kept, and counters and locks are this process's own.
 */
export interface Cache {
  get<Value>(key: string): Promise<Value | undefined>;
  set(key: string, value: unknown, ttlMs: number): Promise<void>;
  /**
   * Forgets values and counters. When it has resolved, no process gets what was kept before: where the engine is away, `redis-contact.ts` says
   * what that rests on. What is being loaded by `through` meanwhile, in any process, is not kept.
   */
  delete(...keys: readonly string[]): Promise<void>;
  /**
   * Gives what is kept under the key, or what `load` gives, which is then kept; undefined is not. Who loads at the same time as others is
   * given what was kept first. A value that may be older than a `delete`,
   * `set` or `replaceOlder` of its key, because it was being loaded at that time, is given and not kept: so whoever calls `delete` after each
   * change of the source has no old value left behind. `load` must see what was committed before it began, so it asks no read replica.
   */
  through<Value>(key: string, kept: Kept<Value>, load: () => Promise<Value | undefined>): Promise<Value | undefined>;
  /**
   * Puts newer values in the place of older ones. Where nothing is kept nothing is put, and what is being loaded there is not kept:
   * the next `through` asks the source.
   */
  replaceOlder(values: readonly Versioned[], ttlMs: number): Promise<void>;
  /** Adds to a counter that starts at 0 and lives `ttlMs` from its first change; gives the new count and what is left of its life. */
  increment(key: string, by: number, ttlMs: number): Promise<{ count: number; expiresInMs: number }>;
  /** Takes a lock, or gives undefined when another holds it. `release` frees it only while it is still ours. */
  lock(key: string, ttlMs: number): Promise<Lock | undefined>;
  publish(channel: string, message: unknown): Promise<void>;
  subscribe(channel: string, heard: (message: unknown) => void): Promise<() => Promise<void>>;
}

/** How `through` keeps values. Best a constant: it is the same for each call. */
export interface Kept<Value> {
  readonly ttlMs: number;
  /** Which of two values is newer, for those that `replaceOlder` replaces; 0 unless said otherwise. */
  readonly version?: (value: Value) => number;
  /** For values that are more than JSON, for engines that keep text; both or none. */
  readonly toJson?: (value: Value) => unknown;
  readonly fromJson?: (json: unknown) => Value;
}

/** A JSON value that knows how new it is: an integer that rises. */
export interface Versioned {
  readonly key: string;
  readonly version: number;
  readonly value: unknown;
}

export interface Lock {
  /** Rises with every holder of this lock: a store can refuse a writer whose token is old. */
  readonly fence: number;
  release(): Promise<void>;
}
