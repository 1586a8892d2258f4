import { chmod, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { inventory } from "@kontor/inventory";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import { createBudget } from "@kontor/platform/database/budget.ts";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import { provision } from "@kontor/platform/database/provision.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { hostService, platformMigrations } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

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
  readonly refusalsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/**
 * Measures how many orders a second get a unit of one hot SKU, at the service's own door in this process, with a PostgreSQL of its own.
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
      const budget = createBudget({ connections: 10, background: 2 });
      const database = openDatabase({ name: "inventory", connection: connections.get("inventory")!, budget, log });
      await migrate(database, [...platformMigrations, { scope: "inventory", folder: inventory.migrations! }]);
      const rpc = createInProcessRpc({ log });
      const clock = systemClock;
      const hosted = hostService(inventory, {
        database,
        rpc,
        wakeups: createWakeups({ log }),
        cache: createMemoryCache({ maxEntries: 1 }),
        mail: { send: () => Promise.reject(new Error("no mail here")) },
        clock,
        ids: createIds(clock),
        config: { publicUrl: "", shopName: "", mailFrom: "", masterKey: new Uint8Array(32), payments: { providerUrl: "", apiKey: "", webhookSecret: "" } },
        registry: contracts,
        log,
      });
      await hosted.log.start();
      try {
        const client = rpc.clientsFor("bench").of("inventory", InventoryService);
        const { figures, sold } = await sellOut(client, { stock: 200_000, excess: 2_000, callers: 2_000, ...options });
        const left = await database.one<{ on_hand: number; reserved: number; held: number }>(
          sql`select on_hand, reserved, (select count(*)::int from reservations where status = 'HELD') as held from stock where sku = ${sku}`,
        );
        if (new Set([sold, ...Object.values(left)]).size > 1) throw new Error(`${sold} units were sold, the books say ${JSON.stringify(left)}`);
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
  }
}

const sku = "HOT";

type InventoryClient = ReturnType<typeof clientType>;
declare function clientType(): import("@kontor/platform/rpc/rpc.ts").Client<typeof InventoryService>;

async function sellOut(client: InventoryClient, { stock, excess, callers }: Required<Omit<ReservationsOptions, "fsync">>): Promise<{ figures: ReservationsFigures; sold: number }> {
  const call = () => rootCall({ caller: "bench", timeoutMs: 30_000 });
  await client.importStock({ stock: [{ sku, onHand: stock }] }, call());
  const expiresAt = timestampFromDate(new Date(Date.now() + 25 * 3_600_000));
  const latenciesMs = new Float64Array(stock);
  let asked = 0;
  let sold = 0;
  let refused = 0;
  let warmMs = 0;
  let soldOutMs = 0;
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    while (asked < stock + excess) {
      const order = `ord_${String(asked++).padStart(26, "0")}`;
      const askedMs = performance.now();
      try {
        await client.reserve({ order, lines: [{ sku, quantity: 1 }], expiresAt }, call());
        latenciesMs[sold++] = performance.now() - askedMs;
        if (sold === Math.floor(stock / 4)) warmMs = performance.now();
        if (sold === stock) soldOutMs = performance.now();
      } catch (error) {
        if (refusalIn(error)?.reason !== "OUT_OF_STOCK") throw error;
        refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const endMs = performance.now();
  if (sold !== stock || refused !== excess) throw new Error(`${sold} of ${stock} units were sold, ${refused} of ${excess} orders refused`);
  latenciesMs.sort();
  return {
    sold,
    figures: {
      reservationsPerSecond: (stock * 1000) / (soldOutMs - startMs),
      reservationsPerSecondWarm: ((stock - Math.floor(stock / 4)) * 1000) / (soldOutMs - warmMs),
      refusalsPerSecond: (excess * 1000) / Math.max(1, endMs - soldOutMs),
      p50Ms: latenciesMs[Math.floor(stock * 0.5)]!,
      p99Ms: latenciesMs[Math.floor(stock * 0.99)]!,
    },
  };
}

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => console.error(message, fields),
  child: () => log,
};
