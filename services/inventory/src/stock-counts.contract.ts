import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, it } from "node:test";
import { MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { checkLedger } from "./test-ledger.ts";
import { admin, deliver, one, reserve } from "./open-test-inventory.ts";
import { openReplicas } from "./open-test-replicas.ts";
import type { Replicas } from "./open-test-replicas.ts";

export interface StockCountsContract {
  /** The caches of two replicas, with nothing in them, and what makes them forget everything. */
  readonly open: () => Promise<{ readonly caches: readonly [Cache, Cache]; readonly flush: () => Promise<void> }>;
  readonly operations: number;
}

const skus = Array.from({ length: 8 }, (_, nth) => `S${nth}`);
const atOnce = 20;

/** What must hold for the counts of two replicas that share a cache. */
export function stockCountsContract(name: string, { open, operations }: StockCountsContract): void {
  describe(`stock counts: ${name}`, () => {
    it(`INV-03: after ${operations} random operations over two replicas, a flush among them and one behind them, the counts are PostgreSQL's`, async () => {
      const { caches, flush } = await open();
      const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
      const replicas = await openReplicas(2, clock, caches);
      const { clients, hosted } = replicas;
      await deliver(clients[0]!, Object.fromEntries(skus.map((sku) => [sku, 200])));
      await readAll(replicas);
      const held: string[] = [];
      const operation = async (nth: number): Promise<void> => {
        const client = clients[randomInt(2)]!;
        const sku = skus[randomInt(skus.length)]!;
        const order = held[randomInt(held.length + 1)];
        const what = randomInt(10);
        if (nth === operations >> 1) await flush();
        else if (what < 4) {
          const outcome = await reserve(client, clock, `ord_${nth}`, [one(sku, 1 + randomInt(5)), one(skus[randomInt(skus.length)]!)]);
          if ("held" in outcome) held.push(`ord_${nth}`);
        } else if (what < 6 && order !== undefined) await client.release({ order }, testCall());
        else if (what < 8) await move(client, sku, 1 + randomInt(20));
        else await client.listStock({ sku: skus.slice(randomInt(4)) }, admin());
      };
      for (let done = 0; done < operations; done += atOnce)
        await Promise.all(Array.from({ length: Math.min(atOnce, operations - done) }, (_, at) => operation(done + at)));
      await Promise.all(hosted.map(async ({ service }) => service.idle?.()));

      await readAll(replicas); // what the flush removed and nobody has read since
      assert.deepEqual(await keptCounts(caches[1]), await storedCounts(replicas));
      await flush();
      assert.deepEqual(
        await keptCounts(caches[0]),
        skus.map(() => undefined),
      );
      assert.deepEqual(await readAll(replicas), await storedCounts(replicas));
      assert.deepEqual(await keptCounts(caches[0]), await storedCounts(replicas));
      await checkLedger(hosted[0]!);
    });

    it("INV-03: a count is read without the database, by the other replica too, and a movement is seen in both", async (context) => {
      const { caches } = await open();
      const replicas = await openReplicas(2, new ManualClock(new Date("2026-03-02T09:00:00Z")), caches);
      const [one, other] = replicas.clients;
      await deliver(one!, { A: 5 });
      const read = async () => {
        const counts: (number | undefined)[] = [];
        for (const client of replicas.clients)
          counts.push((await client.listStock({ sku: ["A", "NEVER-SEEN", "A"] }, admin())).items[0]?.onHand);
        return counts;
      };
      assert.deepEqual(await read(), [5, 5]);
      const asked = replicas.hosted.map(({ database }) => context.mock.method(database, "rows").mock);
      for (const client of [...replicas.clients, ...replicas.clients]) await client.listStock({ sku: ["A"] }, admin());
      assert.deepEqual(
        asked.map((mock) => mock.callCount()),
        [0, 0],
      );
      await move(one!, "A", 3);
      assert.deepEqual(await read(), [8, 8]);
      await move(other!, "A", 2);
      assert.deepEqual(await read(), [10, 10]);
    });

    it("INV-03: a count that was being read while it changed does not stay as it was", async (context) => {
      const { caches } = await open();
      const { clients, hosted } = await openReplicas(2, new ManualClock(new Date("2026-03-02T09:00:00Z")), caches);
      await deliver(clients[0]!, { A: 5 });
      const { database } = hosted[0]!;
      const rows = database.rows.bind(database);
      const [read, held] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      context.mock.method(
        database,
        "rows",
        async (query: Parameters<typeof rows>[0]) => {
          const found = await rows(query);
          read.resolve();
          await held.promise;
          return found;
        },
        { times: 1 },
      );
      const early = clients[0]!.listStock({ sku: ["A"] }, admin());
      await read.promise;
      await move(clients[1]!, "A", 3);
      held.resolve();
      await early;
      for (const client of clients) assert.equal((await client.listStock({ sku: ["A"] }, admin())).items[0]?.onHand, 8);
    });
  });
}

async function move(client: Replicas["clients"][number], sku: string, quantity: number): Promise<void> {
  const kind = quantity % 2 === 0 ? MovementKind.WRITTEN_OFF : MovementKind.RECEIVED;
  try {
    await client.createMovement({ sku, kind: quantity === 2 ? MovementKind.RECEIVED : kind, quantity }, admin());
  } catch (error) {
    if (refusalIn(error)?.reason !== "OUT_OF_STOCK") throw error;
  }
}

type Count = readonly [sku: string, onHand: number, reserved: number, version: number];

async function readAll({ clients }: Replicas): Promise<Count[]> {
  const [items] = await Promise.all(clients.map(async (client) => (await client.listStock({ sku: skus }, admin())).items));
  return items!.map(({ sku, onHand, reserved, version }) => [sku, onHand, reserved, version]);
}

async function keptCounts(cache: Cache): Promise<(Count | undefined)[]> {
  const counts = await Promise.all(
    skus.map((sku) => cache.get<{ sku: string; onHand: number; reserved: number; version: number }>(`stock:${sku}`)),
  );
  return counts.map((count) => count && [count.sku, count.onHand, count.reserved, count.version]);
}

async function storedCounts({ hosted }: Replicas): Promise<Count[]> {
  const rows = await hosted[0]!.database.rows<{ sku: string; on_hand: number; reserved: number; version: number }>(
    sql`select sku, on_hand, reserved, version from stock order by sku`,
  );
  return rows.map(({ sku, on_hand: onHand, reserved, version }) => [sku, onHand, reserved, version]);
}
