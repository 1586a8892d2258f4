import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InventoryService, ReservationStatus } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { outsideTransaction } from "@kontor/platform/database/in-transaction.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { checkLedger } from "./test-ledger.ts";
import { openReplicas } from "./open-test-replicas.ts";
import { deliver, one, openTestInventory, reserve } from "./open-test-inventory.ts";
import type { Outcome } from "./open-test-inventory.ts";
import type { Units } from "./stock.ts";

const repetitions = Number(process.env["KONTOR_OVERSELL_REPETITIONS"] ?? 10);
const shoppers = Number(process.env["KONTOR_OVERSELL_SHOPPERS"] ?? 200);
const awkwardOrders = Number(process.env["KONTOR_AWKWARD_ORDERS"] ?? 400);

const held = (outcomes: readonly Outcome[]) => outcomes.filter((outcome) => "held" in outcome).length;
const clock = () => new ManualClock(new Date("2026-03-02T09:00:00Z"));

describe("reservations", () => {
  it("INV-05 I1 I2: of 100 parallel orders for 10 units exactly 10 get one, and the level is 0", async () => {
    const { reserve: ask, units, check, deliver } = await openTestInventory();
    await deliver({ A: 10 });
    const outcomes = await Promise.all(Array.from({ length: 100 }, (_, at) => ask(`ord_${at}`, [one("A")])));
    assert.equal(held(outcomes), 10);
    for (const outcome of outcomes)
      if ("refused" in outcome)
        assert.deepEqual(outcome, { refused: "OUT_OF_STOCK", details: { lines: [{ sku: "A", asked: 1, available: 0 }] } });
    assert.deepEqual(await units("A"), [10, 10]);
    await check();
  });

  it(`R1 I1 I2: one unit, ${shoppers} orders over two replicas, ${repetitions} times: one gets it, the others are refused`, async () => {
    const time = clock();
    const { clients, hosted } = await openReplicas(2, time);
    for (let nth = 0; nth < repetitions; nth++) {
      await deliver(clients[0]!, { [`S${nth}`]: 1 });
      const outcomes = await Promise.all(
        Array.from({ length: shoppers }, (_, at) => reserve(clients[at % 2]!, time, `ord_${nth}_${at}`, [one(`S${nth}`)])),
      );
      assert.equal(held(outcomes), 1);
      assert.equal(outcomes.filter((outcome) => "refused" in outcome && outcome.refused === "OUT_OF_STOCK").length, shoppers - 1);
    }
    await checkLedger(hosted[0]!);
  });

  it("INV-04: a repeat reserves once and gets the same response, refusals too, also when it comes at the same time", async () => {
    const { reserve: ask, units, check, deliver, client } = await openTestInventory();
    await deliver({ A: 5 });
    const [first, ...repeats] = await Promise.all(Array.from({ length: 10 }, () => ask("ord_1", [one("A", 3), one("A", 1)])));
    for (const repeat of [...repeats, await ask("ord_1", [one("A", 3), one("A", 1)])]) assert.deepEqual(repeat, first);
    assert.deepEqual(await units("A"), [5, 4]);
    const refused = await ask("ord_2", [one("A", 2), one("B")]);
    assert.deepEqual(refused, {
      refused: "OUT_OF_STOCK",
      details: {
        lines: [
          { sku: "A", asked: 2, available: 1 },
          { sku: "B", asked: 1, available: 0 },
        ],
      },
    });
    await client.release({ order: "ord_1" }, testCall());
    await deliver({ B: 10 });
    assert.deepEqual(await ask("ord_2", [one("A", 2), one("B")]), refused, "though there is enough by now");
    const { status, lines, expiresAt } = await client.getReservation({ order: "ord_2" }, testCall());
    assert.deepEqual(
      [status, lines.length, expiresAt],
      [ReservationStatus.REFUSED, 2, timestampFromDate(new Date("2026-03-03T10:00:00Z"))],
    );
    await check();
  });

  it("a release frees once, and leaves a tombstone that refuses the reservation it came before", async () => {
    const { reserve: ask, units, check, deliver, client } = await openTestInventory();
    await deliver({ A: 5 });
    await ask("ord_1", [one("A", 2)]);
    await Promise.all(Array.from({ length: 5 }, () => client.release({ order: "ord_1" }, testCall())));
    assert.deepEqual(await units("A"), [5, 0]);
    await client.release({ order: "ord_2" }, testCall());
    for (const order of ["ord_1", "ord_2"])
      assert.deepEqual(await ask(order, [one("A", 2)]), { refused: "RESERVATION_RELEASED", details: {} });
    assert.deepEqual(await units("A"), [5, 0]);
    assert.equal((await client.getReservation({ order: "ord_2" }, testCall())).status, ReservationStatus.FREED);
    await assert.rejects(client.getReservation({ order: "ord_3" }, testCall()), (error) => refusalIn(error)?.reason === "NOT_FOUND");
    await check();
  });

  it("a release that races its reservation leaves nothing set aside, whichever is first", async () => {
    const time = clock();
    const { clients, hosted } = await openReplicas(2, time);
    await deliver(clients[0]!, { A: 100 });
    const outcomes = await Promise.all(
      Array.from({ length: 60 }, async (_, at) => {
        const order = `ord_${at}`;
        const asked = reserve(clients[at % 2]!, time, order, [one("A")]);
        await clients[(at + 1) % 2]!.release({ order }, testCall());
        await asked;
        await clients[at % 2]!.release({ order }, testCall());
        return reserve(clients[at % 2]!, time, order, [one("A")]);
      }),
    );
    assert.equal(held(outcomes), 0);
    const { items } = await clients[0]!.listStock({ sku: ["A"] }, testCall({ user: { roles: ["support"] } }));
    assert.deepEqual([items[0]?.onHand, items[0]?.reserved], [100, 0]);
    await checkLedger(hosted[0]!);
  });

  it(`R3 I1 I2: ${awkwardOrders} awkward orders, each sent twice to both replicas, with releases between: no deadlock, no double count`, async () => {
    const time = clock();
    const { clients, hosted } = await openReplicas(2, time);
    const skus = 50;
    await deliver(clients[0]!, Object.fromEntries(Array.from({ length: skus }, (_, at) => [`S${at}`, 40])));
    const random = seeded(7);
    const zipf = Array.from({ length: skus }, (_, at) => 1 / (at + 1) ** 1.1);
    const whole = zipf.reduce((sum, weight) => sum + weight);
    const sku = () => {
      let left = random() * whole;
      return `S${zipf.findIndex((weight) => (left -= weight) <= 0)}`;
    };
    const orders = Array.from({ length: awkwardOrders }, (_, at) => {
      const lines: Units[] = Array.from({ length: 1 + Math.floor(random() * 6) }, () =>
        one(sku(), random() < 0.1 ? 1 + Math.floor(random() * 50) : 1),
      );
      return { order: `ord_${at}`, lines: random() < 0.3 ? [...lines, lines[0]!] : lines };
    });
    const asked = [...orders, ...orders].flatMap((order) => clients.map((client) => ({ client, order })));
    const answers = new Map<string, Outcome[]>();
    const releases: Promise<unknown>[] = [];
    await Promise.all(
      shuffled(asked, random).map(async ({ client, order: { order, lines } }, at) => {
        const outcome = await reserve(client, time, order, shuffled(lines, random));
        answers.set(order, [...(answers.get(order) ?? []), outcome]);
        if (at % 9 === 0) releases.push(client.release({ order }, testCall()));
      }),
    );
    await Promise.all(releases);
    for (const [order, outcomes] of answers) {
      const decided = outcomes
        .map((outcome) => ("held" in outcome ? "HELD" : outcome.refused))
        .filter((status) => status !== "RESERVATION_RELEASED");
      assert.equal(outcomes.length, 4);
      assert.equal(new Set(decided).size <= 1, true, `${order} got ${decided.join()}`);
    }
    await checkLedger(hosted[0]!);
    // The most wanted SKU is sold to the last unit: who asks for what is left gets it.
    const { items } = await clients[0]!.listStock({ sku: ["S0"] }, testCall({ user: { roles: ["admin"] } }));
    const last = await reserve(clients[1]!, time, "ord_last", [one("S0", Math.max(1, items[0]!.available))]);
    assert.equal("held" in last, items[0]!.available > 0);
  });

  it("R3: orders that two replicas reserve with different lines at the same time are one reservation each, without deadlock", async () => {
    const time = clock();
    const { clients, hosted } = await openReplicas(2, time);
    await deliver(clients[0]!, { A: 1_000, B: 1_000 });
    const orders = Array.from({ length: 9 }, (_, at) => `ord_${at}`);
    const ask = (client: number, sku: string, which: readonly string[]) =>
      Promise.all(which.map((order) => reserve(clients[client]!, time, order, [one(sku)])));
    const { database } = hosted[0]!;
    // Both batches run into a reservation in their middle that is neither there nor not there, until both hold what they wrote before it.
    let asked: Promise<Outcome[][]> | undefined;
    const rolledBack = new Error("rolledBack");
    const blocked = database.transaction(async (tx) => {
      await tx.run(
        sql`insert into reservations (order_id, status, lines, expires_at, updated_at) values ('ord_4', 'FREED', '[]', now(), now())`,
      );
      asked = outsideTransaction(() => Promise.all([ask(0, "A", orders), ask(1, "B", orders.toReversed())]));
      for (let waiting = 0; waiting < 2;)
        // Not in this transaction, which would see the same activity for ever.
        ({ waiting } = await database.one<{ waiting: number }>(
          sql`select count(*)::int as waiting from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        ));
      throw rolledBack;
    });
    await assert.rejects(blocked, rolledBack);
    const [there, here] = await asked!;
    assert.deepEqual(there, here?.toReversed());
    assert.equal(held(there!), orders.length);
    await checkLedger(hosted[0]!);
  });

  it("R4 I11: a reservation is held until its time has passed and freed within ten seconds, whole", async () => {
    const { reserve: ask, units, check, pass, deliver, client, clock: time } = await openTestInventory();
    await deliver({ A: 2, B: 2 });
    await ask("ord_1", [one("A", 2), one("B", 1)]);
    await pass(25 * 3_600_000 - 1);
    assert.deepEqual(
      [await units("A"), await units("B")],
      [
        [2, 2],
        [2, 1],
      ],
    );
    time.advance(5_000);
    await pass(5_000);
    assert.deepEqual(
      [await units("A"), await units("B")],
      [
        [2, 0],
        [2, 0],
      ],
    );
    assert.deepEqual(await ask("ord_1", [one("A", 2)]), { refused: "RESERVATION_RELEASED", details: {} });
    assert.equal((await client.getReservation({ order: "ord_1" }, testCall())).status, ReservationStatus.FREED);
    assert.ok("held" in (await ask("ord_2", [one("A", 2)])));
    await check();
  });

  it("frees more reservations at their end than one batch holds", async () => {
    const { reserve: ask, units, check, pass, deliver } = await openTestInventory();
    await deliver({ A: 1_100 });
    await Promise.all(Array.from({ length: 1_100 }, (_, at) => ask(`ord_${at}`, [one("A")])));
    assert.deepEqual(await units("A"), [1_100, 1_100]);
    await pass(25 * 3_600_000);
    assert.deepEqual(await units("A"), [1_100, 0]);
    await check();
  });

  it("one SKU whose stock row is damaged does not fail the orders of others", async () => {
    const faults: string[] = [];
    const log: Logger = { debug: ignore, info: ignore, warn: ignore, error: (_, message) => void faults.push(message), child: () => log };
    const { reserve: ask, units, hosted, deliver } = await openTestInventory({ log });
    await deliver({ A: 10, BROKEN: 10 });
    // A stream that has run ahead of its row: whatever is written to it is refused.
    await hosted.database.run(sql`update stock set version = 5 where sku = 'BROKEN'`);
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, (_, at) => ask(`ord_${at}`, [one(at === 7 ? "BROKEN" : "A", 1)])));
    assert.equal(outcomes[7]?.status, "rejected");
    assert.deepEqual(faults, ["fault in a handler"]);
    assert.equal(held(outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []))), 10);
    assert.deepEqual(await units("A"), [10, 10]);
    assert.deepEqual(await units("BROKEN"), [10, 0]);
  });

  it("validates requests, and does not execute those whose time has passed", async () => {
    const { client, deliver, units, rpc } = await openTestInventory();
    await deliver({ A: 10 });
    const expiresAt = timestampFromDate(new Date("2026-03-03T10:00:00Z"));
    const field = (wrong: string) => (error: unknown) => refusalIn(error)?.fields[0]?.field === wrong;
    await assert.rejects(client.reserve({ order: "ord_1", lines: [], expiresAt }, testCall()), field("lines"));
    await assert.rejects(client.reserve({ order: "ord_1", lines: [one("A", 0)], expiresAt }, testCall()), field("lines[0].quantity"));
    await assert.rejects(client.reserve({ order: "ord_1", lines: [one("A")] }, testCall()), field("expiresAt"));
    await assert.rejects(client.reserve({ order: "", lines: [one("A")], expiresAt }, testCall()), field("order"));
    const reason = (expected: string) => (error: unknown) => refusalIn(error)?.reason === expected;
    await assert.rejects(
      client.reserve({ order: "ord_1", lines: [one("A")], expiresAt }, testCall({ timeoutMs: 0 })),
      reason("DEADLINE_EXCEEDED"),
    );
    const edge = rpc.clientsFor("gateway").of("inventory", InventoryService);
    await assert.rejects(
      edge.reserve({ order: "ord_1", lines: [one("A")], expiresAt }, testCall({ user: { roles: ["admin"] } })),
      reason("PERMISSION_DENIED"),
    );
    assert.deepEqual(await units("A"), [10, 0]);
  });
});

function ignore(): void {}

/** Numbers from 0 to 1, the same at every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], random: () => number): T[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
