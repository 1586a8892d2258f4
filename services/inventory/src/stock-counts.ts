import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Cache, ThroughOptions, Versioned } from "@kontor/platform/cache/cache.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Level } from "./stock.ts";
import { policyOf, stockMessage } from "./stock-messages.ts";
import { stockLevels } from "./stock-queries.ts";

/** The counts of SKUs as all replicas read them without a query. They decide nothing. */
export interface StockCounts {
  /** Takes over levels that were committed: a newer one replaces the older where that is cached. Nobody waits for it. */
  put(levels: readonly Level[], at: Date): void;
  /** Resolves when what was put before is what others read. */
  written(): Promise<void>;
  /** The stock of these SKUs, in this order, without those that inventory does not know; as new as what this process has put, at least. */
  read(skus: readonly string[]): Promise<Stock[]>;
}

/** What is cached of a SKU. */
interface Count extends Level {
  readonly atMs: number;
}

// A process may end between a commit and the writing of its counts: they are wrong no longer than this, and than until the next change.
const caching: ThroughOptions<Count> = { ttlMs: 60_000, version: ({ version }) => version };

export function createStockCounts({
  cache,
  database,
  log,
}: {
  readonly cache: Cache;
  readonly database: Database;
  readonly log: Logger;
}): StockCounts {
  const loadCount = createCountLoader(database);
  // Of each SKU the newest that is still to be written: while one batch is on its way, all that come make up the next one.
  let waiting = new Map<string, Count>();
  let inFlight = new Map<string, Count>();
  let writing: Promise<void> | undefined;

  const write = async (): Promise<void> => {
    try {
      while (waiting.size > 0) {
        inFlight = waiting;
        waiting = new Map();
        await cache.replaceOlder(Array.from(inFlight.values(), versioned), caching.ttlMs);
      }
    } catch (error) {
      log.warn({ error }, "stock counts could not be written; what is read of them may be old");
    } finally {
      inFlight = new Map();
      writing = undefined;
    }
  };

  return {
    put: (levels, at) => {
      for (const level of levels) {
        const known = waiting.get(level.sku);
        if (known === undefined || known.version < level.version) waiting.set(level.sku, { ...level, atMs: at.getTime() });
      }
      if (waiting.size > 0) writing ??= write();
    },
    written: async () => writing,
    read: async (skus) => {
      const counts = await Promise.all(
        skus.map(async (sku) => {
          const own = waiting.get(sku) ?? inFlight.get(sku);
          const count = await cache.through(keyOf(sku), caching, () => loadCount(sku));
          return own !== undefined && own.version > (count?.version ?? -1) ? own : count;
        }),
      );
      return counts.flatMap((count) => (count === undefined ? [] : stockMessage(count, new Date(count.atMs))));
    },
  };
}

/** Loads SKUs that are requested at the same time in one statement. */
function createCountLoader(database: Database): (sku: string) => Promise<Count | undefined> {
  let requested = new Set<string>();
  let loading: Promise<Map<string, Count>> | undefined;
  const load = async (): Promise<Map<string, Count>> => {
    await new Promise((resolve) => setImmediate(resolve));
    const skus = [...requested];
    requested = new Set();
    loading = undefined;
    const { items } = await stockLevels(database, { cursor: "", limit: skus.length }, skus);
    return new Map(
      items.map((stock) => {
        const { sku, onHand, reserved, version, updatedAt } = stock;
        return [sku, { sku, onHand, reserved, version, policy: policyOf(stock), atMs: timestampDate(updatedAt!).getTime() }];
      }),
    );
  };
  return async (sku) => {
    requested.add(sku);
    return (await (loading ??= load())).get(sku);
  };
}

function versioned(count: Count): Versioned {
  return { key: keyOf(count.sku), version: count.version, value: count };
}

function keyOf(sku: string): string {
  return `stock:${sku}`;
}
