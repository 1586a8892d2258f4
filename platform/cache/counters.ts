export interface CountersOptions {
  /** How many counters have an entry of their own. */
  readonly max: number;
  /** A monotonic source of milliseconds. */
  readonly clock: () => number;
}

export interface Counted {
  readonly count: number;
  readonly expiresInMs: number;
}

const sharedMax = 1_024;

/**
 * Counters of this process, of which none is forgotten before it expires: a limit that is counted here cannot be escaped by pushing counters out. Memory is
 * bounded all the same: while `max` are live, further keys share counters with others, by a hash that nobody outside knows. A shared counter counts too much, never
 * too little, so what it limits is refused too early. A key stays with a shared counter until that has expired.
 */
export class Counters {
  readonly #max: number;
  readonly #clock: () => number;
  readonly #own = new Map<string, Counter>();
  /** By their time to live, in the order in which they expire. */
  readonly #byTtl = new Map<number, Map<string, Counter>>();
  readonly #shared: (Counter | undefined)[];
  readonly #seed = Math.floor(Math.random() * 2 ** 32);

  constructor({ max, clock }: CountersOptions) {
    this.#max = max;
    this.#clock = clock;
    this.#shared = Array.from({ length: Math.min(max, sharedMax) });
  }

  /** Adds to a counter that starts at 0 and lives `ttlMs` from its first change. */
  increment(key: string, by: number, ttlMs: number): Counted {
    const nowMs = this.#clock();
    const counter = this.#find(key, nowMs) ?? this.#create(key, ttlMs, nowMs);
    counter.count += by;
    return { count: counter.count, expiresInMs: Math.max(0, Math.ceil(counter.expiresAtMs - nowMs)) };
  }

  #find(key: string, nowMs: number): Counter | undefined {
    const own = this.#own.get(key);
    if (own !== undefined) {
      if (own.expiresAtMs > nowMs) return own;
      this.#remove(key, own);
    }
    const shared = this.#shared[this.#slotOf(key)];
    return shared !== undefined && shared.expiresAtMs > nowMs ? shared : undefined;
  }

  #create(key: string, ttlMs: number, nowMs: number): Counter {
    this.#removeExpired(nowMs);
    const counter: Counter = { count: 0, ttlMs, expiresAtMs: nowMs + ttlMs };
    if (this.#own.size >= this.#max) {
      this.#shared[this.#slotOf(key)] = counter;
      return counter;
    }
    this.#own.set(key, counter);
    const others = this.#byTtl.get(ttlMs);
    if (others === undefined) this.#byTtl.set(ttlMs, new Map([[key, counter]]));
    else others.set(key, counter);
    return counter;
  }

  /** Each removal pays for a creation, so this costs nobody much. */
  #removeExpired(nowMs: number): void {
    for (const counters of this.#byTtl.values())
      for (const [key, counter] of counters) {
        if (counter.expiresAtMs > nowMs) break;
        this.#remove(key, counter);
      }
  }

  #remove(key: string, { ttlMs }: Counter): void {
    this.#own.delete(key);
    const counters = this.#byTtl.get(ttlMs);
    counters?.delete(key);
    if (counters?.size === 0) this.#byTtl.delete(ttlMs);
  }

  /** FNV-1a from a seed of this process's own. */
  #slotOf(key: string): number {
    let hash = this.#seed;
    for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
    return (hash >>> 0) % this.#shared.length;
  }
}

interface Counter {
  count: number;
  readonly ttlMs: number;
  readonly expiresAtMs: number;
}
