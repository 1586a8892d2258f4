/** Values, counters, locks and messages that may be lost at any time without changing a result. */
export interface Cache {
  get<Value>(key: string): Promise<Value | undefined>;
  set(key: string, value: unknown, ttlMs: number): Promise<void>;
  delete(...keys: readonly string[]): Promise<void>;
  /** Adds to a counter that starts at 0 and lives `ttlMs` from its first change; gives the new count and what is left of its life. */
  increment(key: string, by: number, ttlMs: number): Promise<{ count: number; expiresInMs: number }>;
  /** Takes a lock, or gives undefined when another holds it. `release` frees it only while it is still ours. */
  lock(key: string, ttlMs: number): Promise<Lock | undefined>;
  publish(channel: string, message: unknown): Promise<void>;
  subscribe(channel: string, heard: (message: unknown) => void): Promise<() => Promise<void>>;
}

export interface Lock {
  /** Rises with every holder of this lock: a store can refuse a writer whose token is old. */
  readonly fence: number;
  release(): Promise<void>;
}
