import type { Cache } from "../cache/cache.ts";
import type { Database, Reads } from "./database.ts";

/** Lets those who have written something read it, whichever process they come to next and wherever reads are answered. */
export interface OwnWrites {
  /** Something under the key was written: called after the commit and before the answer. */
  written(key: string): Promise<void>;
  /** Reads that show what was written under the key before this was asked. */
  reads(key: string): Promise<Reads>;
}

/** For a commit's own time, and for clocks that do not tick alike. */
const marginMs = 1_000;

/**
 * What was written lately is marked in the cache, for as long as a replica may not have it; what is marked is read at the primary. Costs
 * nothing without a replica. Where the cache is away or has forgotten, another process may answer as old as a replica may be.
 */
export function ownWrites({ database, cache }: { readonly database: Database; readonly cache: Cache }): OwnWrites {
  const mark = (key: string): string => `written:${database.name}:${key}`;
  return {
    written: async (key) => {
      if (database.replicaLagMs === 0) return;
      database.changed(key);
      await cache.set(mark(key), 1, 2 * database.replicaLagMs + marginMs);
    },
    reads: async (key) => {
      if (database.replicaLagMs === 0) return database.reads();
      return (await cache.get(mark(key))) === undefined ? database.reads(key) : database;
    },
  };
}
