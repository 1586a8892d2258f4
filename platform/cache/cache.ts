/**
 * Values, locks and messages that may be lost at any time without changing a result, and counters. No call fails because the engine is unreachable:
 * it then ends at once, as if nothing were stored, and counters and locks are this process's own.
 */
export interface Cache {
  get<Value>(key: string): Promise<Value | undefined>;
  set(key: string, value: unknown, ttlMs: number): Promise<void>;
  /**
   * Removes values. When it has resolved, no process gets what was stored before: `cache-connection.ts` says why that holds when
   * the engine is unreachable. A value that `through` is loading meanwhile, in any process, is not stored.
   */
  delete(...keys: readonly string[]): Promise<void>;
  /**
   * Returns the value that is stored under the key, or what `load` returns, which is then stored unless it is undefined. Of concurrent loads
   * all get the value that was stored first. A value that may be older than a `delete`, `set` or `replaceOlder` of its key, because it was being
   * loaded at that time, is returned and not stored: when `delete` is called after each change of the source, no old value stays. `load` must see
   * what was committed before it began, so it reads from no replica.
   */
  through<Value>(key: string, options: ThroughOptions<Value>, load: () => Promise<Value | undefined>): Promise<Value | undefined>;
  /**
   * Replaces older values by newer ones. Where no value is stored none is written, and a value that is being loaded there is not stored:
   * the next `through` loads from the source.
   */
  replaceOlder(values: readonly Versioned[], ttlMs: number): Promise<void>;
  /**
   * Adds to a counter that starts at 0 and lives `ttlMs` from its first change; returns the new count and its remaining time to live. By 0 it
   * reads, and by less it subtracts until 0 is left, because what is taken back twice, or after the window, must be no credit; neither creates one.
   * Until it is 0 again it is never forgotten before: what this process has counted counts also when the engine has evicted or lost the counter, and
   * nothing removes it. So subtract in the process that has added. What precedes the first colon of a key is its kind, one of a few: counters of one
   * kind, however many, take no memory from those of another.
   */
  increment(key: string, by: number, ttlMs: number): Promise<{ count: number; expiresInMs: number }>;
  /** Takes a lock, or returns undefined when another holds it. `release` frees it only while it is still ours. */
  lock(key: string, ttlMs: number): Promise<Lock | undefined>;
  publish(channel: string, message: unknown): Promise<void>;
  subscribe(channel: string, listener: (message: unknown) => void): Promise<() => Promise<void>>;
}

/** How `through` stores values. Best a constant: it is the same for each call. */
export interface ThroughOptions<Value> {
  readonly ttlMs: number;
  /** Which of two values is newer, for those that `replaceOlder` replaces; 0 by default. */
  readonly version?: (value: Value) => number;
  /** For values that are more than JSON, for engines that store text; both or none. */
  readonly toJson?: (value: Value) => unknown;
  readonly fromJson?: (json: unknown) => Value;
}

/** A JSON value with a version: an integer that rises. */
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
