import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ReservationStatus } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { resetSubscription } from "@kontor/platform/events/subscriptions/reset-subscription.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, one, openTestInventory } from "./open-test-inventory.ts";
import type { TestInventory } from "./open-test-inventory.ts";

const holds = Number(process.env["KONTOR_RESERVATION_HOLDS"] ?? 150);
const dayMs = 24 * 3_600_000;
const lifeMs = 25 * 3_600_000;

/** Has inventory read the orders' events once more from the beginning. */
async function readAgain({ hosted, settle }: TestInventory): Promise<void> {
  await resetSubscription(hosted.database, "inventory.orders", async () => undefined);
  await settle();
}

async function statusOf({ client }: TestInventory, order: string): Promise<ReservationStatus> {
  return (await client.getReservation({ order }, testCall())).status;
}

describe("claims and returns", () => {
  it("INV-04 INV-01: a paid order claims its units once, also when the event comes again", async () => {
    const shop = await openTestInventory();
    const lines = [one("A", 2), one("B", 1)];
    await shop.deliver({ A: 5, B: 5 });
    await shop.reserve("ord_1", lines);
    await shop.publish([{ order: "ord_1", lines, news: ["paid", "paid"] }]);
    await shop.settle();
    assert.deepEqual(
      [await shop.units("A"), await shop.units("B")],
      [
        [3, 0],
        [4, 0],
      ],
    );
    await readAgain(shop);
    assert.deepEqual(
      [await shop.units("A"), await shop.units("B")],
      [
        [3, 0],
        [4, 0],
      ],
    );
    assert.equal(await statusOf(shop, "ord_1"), ReservationStatus.SOLD);
    const { items } = await shop.client.listMovements({ sku: "A" }, admin());
    assert.deepEqual(items.map(({ quantity, order, actor }) => [quantity, order, actor]).slice(0, 1), [[-2, "ord_1", "inventory"]]);
    await shop.check();
  });

  it("INV-06: a cancelled order returns exactly the reserved units once, also when the event comes again, by its user or by expiry", async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: 5 });
    await shop.reserve("ord_1", [one("A", 2)]);
    await shop.reserve("ord_2", [one("A", 3)]);
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["cancelled", "cancelled"] }]);
    await shop.settle();
    assert.deepEqual(await shop.units("A"), [5, 3]);
    // The order expires at 24 h, its reservation would an hour later.
    await shop.pass(dayMs);
    await shop.publish([{ order: "ord_2", lines: [one("A", 3)], news: ["cancelled"] }]);
    await shop.settle();
    assert.deepEqual(await shop.units("A"), [5, 0]);
    await shop.reserve("ord_3", [one("A", 1)]);
    await shop.pass(lifeMs - dayMs);
    await readAgain(shop);
    assert.deepEqual(await shop.units("A"), [5, 1]);
    await shop.check();
  });

  it("INV-06: an order that was paid and then cancelled gives back the units that were sold, once", async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: 5 });
    await shop.reserve("ord_1", [one("A", 2)]);
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["paid"] }]);
    await shop.settle();
    assert.deepEqual(await shop.units("A"), [3, 0]);
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["cancelled", "cancelled"] }]);
    await shop.settle();
    await readAgain(shop);
    assert.deepEqual(await shop.units("A"), [5, 0]);
    const { items } = await shop.client.listMovements({ sku: "A" }, admin());
    assert.deepEqual(
      items.map(({ quantity }) => quantity),
      [2, -2, 5],
    );
    await shop.check();
  });

  it("R4: a claim after expiry takes free units again", async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: 2 });
    await shop.reserve("ord_1", [one("A", 2)]);
    await shop.pass(lifeMs);
    assert.deepEqual(await shop.units("A"), [2, 0]);
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["paid"] }]);
    await shop.settle();
    assert.deepEqual(await shop.units("A"), [0, 0]);
    assert.deepEqual(await shop.refusedClaims(), []);
    await shop.check();
  });

  it("R4: a claim after expiry whose units are sold is refused once, whatever becomes free later", async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: 2 });
    await shop.reserve("ord_1", [one("A", 2)]);
    await shop.pass(lifeMs);
    await shop.reserve("ord_2", [one("A", 1)]);
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["paid"] }]);
    await shop.settle();
    assert.deepEqual(await shop.refusedClaims(), ["ord_1"]);
    assert.deepEqual(await shop.units("A"), [2, 1]);
    // Its payment is being refunded: the units that come free are for others.
    await shop.client.release({ order: "ord_2" }, testCall());
    await shop.publish([{ order: "ord_1", lines: [one("A", 2)], news: ["paid", "cancelled"] }]);
    await shop.settle();
    await readAgain(shop);
    assert.deepEqual(await shop.refusedClaims(), ["ord_1"]);
    assert.deepEqual(await shop.units("A"), [2, 0]);
    const [refused] = await shop.hosted.log.history(shop.hosted.database, "ord_1");
    const [paid] = await shop.services.get("orders")!.log.history(shop.services.get("orders")!.database, "ord_1");
    assert.deepEqual([refused?.correlation, refused?.causation], [paid?.correlation, paid?.id]);
    await shop.check();
  });

  it("an order that is unknown to inventory claims free units when it is paid, or is refused", async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: 2 });
    await shop.publish([
      { order: "ord_1", lines: [one("A", 2)], news: ["paid"] },
      { order: "ord_2", lines: [one("A", 1)], news: ["paid"] },
      { order: "ord_3", lines: [one("NEVER-SEEN", 1)], news: ["paid"] },
      { order: "ord_4", lines: [one("A", 1)], news: ["cancelled"] },
    ]);
    await shop.settle();
    assert.deepEqual(await shop.units("A"), [0, 0]);
    assert.deepEqual(await shop.refusedClaims(), ["ord_2", "ord_3"]);
    assert.deepEqual(await shop.reserve("ord_4", [one("A")]), { refused: "RESERVATION_RELEASED", details: {} });
    await shop.check();
  });

  it(`R4 I1 I2: ${holds} payments race the expiry of their reservations and rivals for the units: each is claimed or refused, none both`, async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: holds });
    const orders = Array.from({ length: holds }, (_, at) => `ord_${at}`);
    await Promise.all(orders.map((order) => shop.reserve(order, [one("A")])));
    const pay = async (which: readonly string[]) => {
      for (let at = 0; at < which.length; at += 10)
        await shop.publish(which.slice(at, at + 10).map((order) => ({ order, lines: [one("A")], news: ["paid"] })));
    };
    const rivals = async () => {
      for (let at = 0; at < holds; at += 10)
        await Promise.all(Array.from({ length: 10 }, (_, nth) => shop.reserve(`ord_rival_${at + nth}`, [one("A")])));
    };
    await Promise.all([pay(orders), shop.pass(lifeMs), rivals()]);
    await rivals();
    await shop.settle();
    const refused = new Set(await shop.refusedClaims());
    for (const order of orders)
      assert.equal(await statusOf(shop, order), refused.has(order) ? ReservationStatus.FREED : ReservationStatus.SOLD);
    const rivalsHeld = (await shop.units("A"))[1];
    // Every unit is sold or set aside again: none was lost on the way.
    assert.deepEqual(await shop.units("A"), [refused.size, rivalsHeld]);
    assert.ok(rivalsHeld <= refused.size);
    await shop.check();
  });

  it(`R4 INV-06: cancellations race payments, expiry and releases of ${holds} orders: at the end all units are back`, async () => {
    const shop = await openTestInventory();
    await shop.deliver({ A: holds, B: holds * 2 });
    const orders = Array.from({ length: holds }, (_, at) => ({
      order: `ord_${at}`,
      lines: at % 2 === 0 ? [one("A"), one("B", 2)] : [one("B", 1), one("A")],
    }));
    const chunks = Array.from({ length: Math.ceil(holds / 10) }, (_, at) => orders.slice(at * 10, at * 10 + 10));
    await Promise.all([
      Promise.all(orders.map(({ order, lines }) => shop.reserve(order, lines))),
      (async () => {
        for (const chunk of chunks)
          await shop.publish(chunk.map((order, at) => ({ ...order, news: at % 3 === 0 ? ["cancelled"] : ["paid", "cancelled"] })));
      })(),
      (async () => {
        for (const chunk of chunks) await Promise.all(chunk.map(({ order }) => shop.client.release({ order }, testCall())));
      })(),
      shop.pass(lifeMs),
    ]);
    await shop.pass(lifeMs);
    assert.deepEqual(
      [await shop.units("A"), await shop.units("B")],
      [
        [holds, 0],
        [holds * 2, 0],
      ],
    );
    const { held } = await shop.hosted.database.one<{ held: number }>(
      sql`select count(*)::int as held from reservations where status in ('HELD', 'SOLD')`,
    );
    assert.equal(held, 0);
    await shop.check();
  });
});
