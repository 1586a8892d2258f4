import type { Cache } from "./cache.ts";

/**
 * The cache of a process that is one of several without a server to share one on: it stores no values, because it would not learn what the
 * others change. Counters, locks and messages are the process's own.
 */
export function createUnsharedCache(memory: Cache): Cache {
  return {
    ...memory,
    get: async () => undefined,
    set: async () => undefined,
    through: (_key, _options, load) => load(),
    replaceOlder: async () => undefined,
  };
}
