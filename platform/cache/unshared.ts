import type { Cache } from "./cache.ts";

/**
 * The cache of a process that is one of several and has no server to share one with: it keeps no values, because nobody would tell it what the
 * others change. Counters, locks and messages are the process's own.
 */
export function createUnsharedCache(memory: Cache): Cache {
  return {
    ...memory,
    get: async () => undefined,
    set: async () => undefined,
    through: (_key, _kept, load) => load(),
    replaceOlder: async () => undefined,
  };
}
