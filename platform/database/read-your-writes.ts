import type { Cache } from "../cache/cache.ts";
import type { Database, Reads } from "./database.ts";

/** Lets clients read their own writes, whichever process serves their next request and wherever reads go. */
export interface ReadYourWrites {
  /** Something was written under the key: called after the commit and before the response. */
  written(key: string): Promise<void>;
  /** Reads that have what was written under the key before this call. */
  reads(key: string): Promise<Reads>;
}

/** For the commit's own time, and for clocks that differ. */
const marginMs = 1_000;

/**
 * A write is noted in the cache for as long as a replica may not have it, and what is noted is read from the primary. Costs nothing without
 * a replica. While the cache is unavailable or has evicted the note, another process may read data that is as old as a replica may be.
 */
export function readYourWrites({ database, cache }: { readonly database: Database; readonly cache: Cache }): ReadYourWrites {
  const cacheKey = (key: string): string => `written:${database.name}:${key}`;
  return {
    written: async (key) => {
      if (database.replicaLagMs === 0) return;
      database.changed(key);
      await cache.set(cacheKey(key), 1, 2 * database.replicaLagMs + marginMs);
    },
    reads: async (key) => {
      if (database.replicaLagMs === 0) return database.reads();
      return (await cache.get(cacheKey(key))) === undefined ? database.reads(key) : database;
    },
  };
}
