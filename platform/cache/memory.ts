import { performance } from "node:perf_hooks";
import type { Cache, Lock, ThroughOptions } from "./cache.ts";
import { Counters } from "./counters.ts";

export interface MemoryCacheOptions {
  /**
   * The maximum of values, of locks and of counters of each kind; past it the least recently used value or lock is removed, and counters are shared (see
   * `Counters`).
   */
  readonly maxEntries: number;
  /** A monotonic source of milliseconds; `performance.now` by default. */
  readonly clock?: () => number;
  /** Called with what a listener throws; a process warning by default. */
  readonly listenerFailed?: (error: unknown, channel: string) => void;
}

/**
 * A cache in this process. Values and messages are passed on without copying: they must not be changed afterwards.
 * Messages are delivered asynchronously, in order, to those who were subscribed when they were published.
 */
export function createMemoryCache({ maxEntries, clock = () => performance.now(), listenerFailed = warn }: MemoryCacheOptions): Cache {
  const { remove, ...values } = createValues(maxEntries, clock);
  const kinds = new Map<string, Counters>();

  function countersLike(key: string): Counters {
    const kind = key.slice(0, Math.max(0, key.indexOf(":")));
    let counters = kinds.get(kind);
    if (counters === undefined) kinds.set(kind, (counters = new Counters({ max: maxEntries, clock })));
    return counters;
  }

  return {
    ...values,

    async delete(...keys) {
      for (const key of keys) remove(key);
    },

    async increment(key, by, ttlMs) {
      return countersLike(key).increment(key, by, ttlMs);
    },

    lock: createLocks(maxEntries, clock),
    ...createChannels(listenerFailed),
  };
}

type Values = Pick<Cache, "get" | "set" | "through" | "replaceOlder"> & { remove(key: string): void };

/** A value that changes while it is loaded is not overwritten by what was loaded. */
function createValues(maxEntries: number, clock: () => number): Values {
  const values = new RecentEntries<unknown>(maxEntries, clock);
  /** The loads of each key whose values may still be stored. */
  const loads = new Map<string, Load>();

  return {
    async get<Value>(key: string) {
      return values.get(key)?.value as Value | undefined;
    },

    async set(key, value, ttlMs) {
      loads.delete(key);
      values.set(key, value, ttlMs);
    },

    remove(key) {
      loads.delete(key);
      values.delete(key);
    },

    async through<Value>(key: string, { ttlMs, version }: ThroughOptions<Value>, load: () => Promise<Value | undefined>) {
      const stored = values.get(key);
      if (stored !== undefined) return stored.value as Value;
      let own = loads.get(key);
      if (own === undefined) loads.set(key, (own = { loaders: 0 }));
      own.loaders++;
      try {
        const value = await load();
        if (value === undefined) return undefined;
        const first = values.get(key);
        if (first !== undefined) return first.value as Value;
        if (loads.get(key) === own) values.set(key, value, ttlMs, version?.(value));
        return value;
      } finally {
        if (--own.loaders === 0 && loads.get(key) === own) loads.delete(key);
      }
    },

    async replaceOlder(newer, ttlMs) {
      for (const { key, version, value } of newer) {
        loads.delete(key);
        const stored = values.get(key);
        if (stored !== undefined && stored.version < version) values.set(key, value, ttlMs, version);
      }
    },
  };
}

function createLocks(maxEntries: number, clock: () => number): Cache["lock"] {
  const locks = new RecentEntries<number>(maxEntries, clock);
  let fence = 0;

  return async (key, ttlMs) => {
    if (locks.get(key) !== undefined) return undefined;
    // The machine's time, so that fences also rise across a restart of the process, and from another engine to this one.
    const own = (fence = Math.max(fence + 1, Date.now() * 1000));
    locks.set(key, own, ttlMs);
    return {
      fence: own,
      async release() {
        if (locks.get(key)?.value === own) locks.delete(key);
      },
    } satisfies Lock;
  };
}

/** Messages within this process. */
function createChannels(listenerFailed: (error: unknown, channel: string) => void): Pick<Cache, "publish" | "subscribe"> {
  const channels = new Map<string, Set<Subscription>>();

  const deliver = (subscription: Subscription, channel: string, message: unknown): void => {
    if (channels.get(channel)?.has(subscription) !== true) return;
    try {
      subscription.listener(message);
    } catch (error) {
      listenerFailed(error, channel);
    }
  };

  return {
    async publish(channel, message) {
      for (const subscription of channels.get(channel) ?? []) setImmediate(deliver, subscription, channel, message);
    },

    async subscribe(channel, listener) {
      const subscription: Subscription = { listener };
      let subscriptions = channels.get(channel);
      if (subscriptions === undefined) channels.set(channel, (subscriptions = new Set()));
      subscriptions.add(subscription);
      return async () => {
        const current = channels.get(channel);
        if (current?.delete(subscription) === true && current.size === 0) channels.delete(channel);
      };
    },
  };
}

/** An object of its own, so that the same function may be subscribed twice. */
interface Subscription {
  readonly listener: (message: unknown) => void;
}

/** The loads of a key's value that began since it was last changed. */
interface Load {
  loaders: number;
}

interface Entry<Value> {
  readonly key: string;
  readonly value: Value;
  readonly version: number;
  readonly expiresAtMs: number;
  /** Its neighbours: the one that was used before it, and the one that was used after it. */
  older: Entry<Value> | undefined;
  newer: Entry<Value> | undefined;
}

/**
 * A bounded map of the most recently used. Expiry is checked on reading, so that no timer is needed. The order of use is a linked list: moving an
 * entry to the end of a map's own order makes the map grow with each read, and copy itself again and again.
 */
class RecentEntries<Value> {
  readonly #entries = new Map<string, Entry<Value>>();
  readonly #max: number;
  readonly #clock: () => number;
  #oldest: Entry<Value> | undefined;
  #newest: Entry<Value> | undefined;

  constructor(max: number, clock: () => number) {
    this.#max = max;
    this.#clock = clock;
  }

  get(key: string): Entry<Value> | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs <= this.#clock()) {
      this.#remove(entry);
      return undefined;
    }
    if (entry !== this.#newest) {
      this.#unlink(entry);
      this.#append(entry);
    }
    return entry;
  }

  set(key: string, value: Value, ttlMs: number, version = 0): Entry<Value> {
    this.delete(key);
    const entry: Entry<Value> = { key, value, version, expiresAtMs: this.#clock() + ttlMs, older: undefined, newer: undefined };
    this.#entries.set(key, entry);
    this.#append(entry);
    if (this.#entries.size > this.#max) this.#remove(this.#oldest!); // this one, if no other is there
    return entry;
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry !== undefined) this.#remove(entry);
  }

  #remove(entry: Entry<Value>): void {
    this.#entries.delete(entry.key);
    this.#unlink(entry);
  }

  #append(entry: Entry<Value>): void {
    entry.older = this.#newest;
    entry.newer = undefined;
    if (this.#newest === undefined) this.#oldest = entry;
    else this.#newest.newer = entry;
    this.#newest = entry;
  }

  #unlink({ older, newer }: Entry<Value>): void {
    if (older === undefined) this.#oldest = newer;
    else older.newer = newer;
    if (newer === undefined) this.#newest = older;
    else newer.older = older;
  }
}

function warn(error: unknown, channel: string): void {
  process.emitWarning(`a listener of ${channel} failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
}
