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
const none: Counted = { count: 0, expiresInMs: 0 };

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
  readonly #shared = new Map<number, (SharedCounter | undefined)[]>();
  readonly #seed = Math.floor(Math.random() * 2 ** 32);

  constructor({ max, clock }: CountersOptions) {
    this.#max = max;
    this.#clock = clock;
  }

  /**
   * Adds to a counter that starts at 0 and lives `ttlMs` from its first change. By 0 it reads, and by less it subtracts; neither creates one. One that is 0
   * again is gone, so that what was taken back takes no memory.
   */
  increment(key: string, by: number, ttlMs: number): Counted {
    const nowMs = this.#clock();
    const own = this.#find(key, nowMs);
    if (own !== undefined) {
      if (own.count + by > 0) return add(own, by, nowMs);
      this.#remove(key, own);
      return none;
    }
    const shared = this.#sharedBy(key, ttlMs, nowMs);
    if (shared !== undefined && countOf(shared) > 0) return addShared(shared, by, nowMs);
    if (by <= 0) return none;
    this.#removeExpired(nowMs);
    if (this.#own.size < this.#max) return add(this.#create(key, ttlMs, nowMs), by, nowMs);
    return addShared(shared ?? this.#share(key, ttlMs, nowMs), by, nowMs);
  }

  #find(key: string, nowMs: number): Counter | undefined {
    const own = this.#own.get(key);
    if (own === undefined || own.expiresAtMs > nowMs) return own;
    this.#remove(key, own);
    return undefined;
  }

  #create(key: string, ttlMs: number, nowMs: number): Counter {
    const counter: Counter = { count: 0, ttlMs, expiresAtMs: nowMs + ttlMs };
    this.#own.set(key, counter);
    const others = this.#byTtl.get(ttlMs);
    if (others === undefined) this.#byTtl.set(ttlMs, new Map([[key, counter]]));
    else others.set(key, counter);
    return counter;
  }

  #sharedBy(key: string, ttlMs: number, nowMs: number): SharedCounter | undefined {
    const slots = this.#shared.get(ttlMs);
    const shared = slots?.[this.#slotOf(key)];
    if (shared === undefined || nowMs < shared.turnsAtMs) return shared;
    const turns = Math.floor((nowMs - shared.turnsAtMs) / ttlMs) + 1;
    shared.before = turns === 1 ? shared.now : 0;
    shared.now = 0;
    shared.turnsAtMs += turns * ttlMs;
    return shared;
  }

  #share(key: string, ttlMs: number, nowMs: number): SharedCounter {
    const shared: SharedCounter = { now: 0, before: 0, ttlMs, turnsAtMs: nowMs + ttlMs };
    let slots = this.#shared.get(ttlMs);
    if (slots === undefined) this.#shared.set(ttlMs, (slots = Array.from({ length: Math.min(this.#max, sharedMax) })));
    slots[this.#slotOf(key)] = shared;
    return shared;
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
    return (hash >>> 0) % Math.min(this.#max, sharedMax);
  }
}

interface Counter {
  count: number;
  readonly ttlMs: number;
  readonly expiresAtMs: number;
}

/** Two windows, so that what any of its keys has counted lives as long as that key's own counter would, and twice as long at most. */
interface SharedCounter {
  now: number;
  before: number;
  readonly ttlMs: number;
  turnsAtMs: number;
}

function countOf({ now, before }: SharedCounter): number {
  return now + before;
}

function add(counter: Counter, by: number, nowMs: number): Counted {
  counter.count += by;
  return { count: counter.count, expiresInMs: Math.max(0, Math.ceil(counter.expiresAtMs - nowMs)) };
}

function addShared(shared: SharedCounter, by: number, nowMs: number): Counted {
  shared.now = Math.max(0, shared.now + by);
  return { count: countOf(shared), expiresInMs: Math.ceil(shared.turnsAtMs + shared.ttlMs - nowMs) };
}
