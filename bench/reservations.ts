import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { inventory } from "@kontor/inventory";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import { createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import { provision } from "@kontor/platform/database/provision.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import { hostService, platformMigrations } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { percentile } from "./figures.ts";

export interface ReservationsOptions {
  /** Units of the one SKU that all want: 200,000 by default. */
  readonly stock?: number;
  /** How many orders are asked for beyond that; all of them must be refused. 2,000 by default. */
  readonly excess?: number;
  /** How many callers ask at a time, each for one order after the other: 2,000 by default. */
  readonly callers?: number;
  /** Off measures without the disk; on by default. */
  readonly fsync?: boolean;
}

export interface ReservationsFigures {
  /** Orders that got their unit, while there were any. */
  readonly reservationsPerSecond: number;
  /** The same without the first quarter, while the code was still being compiled. */
  readonly reservationsPerSecondWarm: number;
  /** Reservations and refusals together. */
  readonly decisionsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Measures how many orders a second get a unit of one hot SKU, by calling the service in this process, with a PostgreSQL of its own.
 * Throws when a single unit too many or too few is sold.
 */
export async function measureReservations(options: ReservationsOptions): Promise<ReservationsFigures> {
  const folder = await mkdtemp(join(tmpdir(), "kontor-bench-reservations-"));
  // As root, PostgreSQL runs as another user, who has to get in.
  await chmod(folder, 0o711);
  try {
    const postgres = await startEmbeddedPostgres({ folder, log, settings: { fsync: options.fsync ?? true } });
    try {
      const connections = await provision(postgres.superuser, ["inventory"], new Uint8Array(32));
      const budget = createConnectionBudget({ connections: 10, background: 2 });
      const database = openDatabase({ name: "inventory", connection: connections.get("inventory")!, budget, log });
      await migrate(database, [...platformMigrations, { scope: "inventory", folder: inventory.migrations! }]);
      const rpc = createInProcessRpc({ log });
      const hosted = await hostService(inventory, {
        database,
        rpc,
        wakeups: createWakeups({ log }),
        cache: createMemoryCache({ maxEntries: 1 }),
        mail: { send: () => Promise.reject(new Error("no mail here")) },
        clock: systemClock,
        ids: createIds(systemClock),
        config: {
          publicUrl: "",
          shopName: "",
          host: "localhost",
          masterKey: new Uint8Array(32),
        },
        registry: contracts,
        log,
      });
      await hosted.log.start();
      try {
        const client = rpc.clientsFor("bench").of("inventory", InventoryService);
        const demand = { stock: 200_000, excess: 2_000, callers: 2_000, ...options };
        const figures = await sellOut(client, demand);
        const left = await database.one<{ on_hand: number; reserved: number; held: number }>(
          sql`select on_hand, reserved, (select count(*)::int from reservations where status = 'HELD') as held from stock where sku = ${sku}`,
        );
        if (Object.values(left).some((units) => units !== demand.stock))
          throw new Error(`${demand.stock} units were sold, the books say ${JSON.stringify(left)}`);
        return figures;
      } finally {
        await hosted.log.stop();
        await rpc.stop();
        await database.stop();
      }
    } finally {
      await postgres.stop();
    }
  } finally {
    await eraseEmbeddedPostgres(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

const sku = "HOT";

interface Demand {
  readonly stock: number;
  readonly excess: number;
  readonly callers: number;
}

/** Asks until all units are gone and all that was asked for beyond them is refused. */
async function sellOut(inventory: Client<typeof InventoryService>, { stock, excess, callers }: Demand): Promise<ReservationsFigures> {
  const call = () => rootCall({ caller: "bench", timeoutMs: 30_000 });
  await inventory.importStock({ stock: [{ sku, onHand: stock }] }, call());
  const expiresAt = timestampFromDate(new Date(Date.now() + 25 * 3_600_000));
  const latenciesMs = new Float64Array(stock);
  const warmAt = Math.floor(stock / 4);
  let [asked, sold, refused, warmMs, soldOutMs] = [0, 0, 0, 0, 0];
  const startMs = performance.now();
  const ask = async (): Promise<void> => {
    while (asked < stock + excess) {
      const order = `ord_${String(asked++).padStart(26, "0")}`;
      const askedMs = performance.now();
      try {
        await inventory.reserve({ order, lines: [{ sku, quantity: 1 }], expiresAt }, call());
        const nowMs = performance.now();
        latenciesMs[sold++] = nowMs - askedMs;
        if (sold === warmAt) warmMs = nowMs;
        if (sold === stock) soldOutMs = nowMs;
      } catch (error) {
        if (refusalIn(error)?.reason !== "OUT_OF_STOCK") throw error;
        refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, ask));
  if (sold !== stock || refused !== excess) throw new Error(`${sold} of ${stock} units were sold, ${refused} of ${excess} orders refused`);
  latenciesMs.sort();
  return {
    reservationsPerSecond: (stock * 1000) / (soldOutMs - startMs),
    reservationsPerSecondWarm: ((stock - warmAt) * 1000) / (soldOutMs - warmMs),
    decisionsPerSecond: ((stock + excess) * 1000) / (performance.now() - startMs),
    p50Ms: percentile([...latenciesMs], 0.5),
    p99Ms: percentile([...latenciesMs], 0.99),
  };
}

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => console.error(message, fields),
  child: () => log,
};
