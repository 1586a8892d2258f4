import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { logHead } from "@kontor/platform/events/log/log-facts.ts";
import { inventoryFacts } from "./facts.ts";
import { one, openTestInventory } from "./open-test-inventory.ts";

describe("inventory: facts", () => {
  it("say what is stored of stock, movements and reservations, and a SKU's last event", async () => {
    const app = await openTestInventory();
    const { database } = app.hosted;
    const facts = inventoryFacts.from(database);
    await app.deliver({ A: 10, B: 5 });
    await app.reserve("ord_1", [one("A", 3)]);
    await app.reserve("ord_2", [one("A", 2)]);
    await app.publish([{ order: "ord_1", lines: [one("A", 3)], news: ["paid"] }]);
    await app.settle();

    const [a, b] = await facts.stock("", 10);
    assert.deepEqual(a?.level, {
      sku: "A",
      onHand: 7,
      reserved: 2,
      version: a?.lastEvent?.version,
      policy: "COUNTED",
      floor: 0,
    });
    assert.deepEqual([a?.lastEvent?.type, a?.lastEvent?.stock?.available], ["inventory.stock.claimed", 5]);
    assert.deepEqual(await facts.stock("A", 10), [b]);
    const summed = new Map((await facts.summedStock(["A", "NONE"])).map((stock) => [stock.sku, stock]));
    assert.deepEqual(summed.get("A"), { ...a, moved: 7, held: 2 });
    assert.deepEqual(summed.get("NONE"), { sku: "NONE", level: undefined, lastEvent: undefined, moved: 0, held: 0 });
    assert.deepEqual(await facts.skus("", 10), [{ id: "A" }, { id: "B" }]);
    assert.deepEqual([...(await facts.knownSkus(["B", "NONE"]))], ["B"]);
    const head = await logHead(database);
    const events = await facts.stockEventsUpTo([{ stream: "A", ...head }]);
    assert.deepEqual(events.get("A"), a?.lastEvent);
    const moved = await facts.movedUnits("", 3);
    assert.equal(
      moved.sums.reduce((sum, { quantity }) => sum + quantity, 0),
      12,
    );
    assert.deepEqual(await facts.movedUnits(moved.last!, 3), { sums: [], last: undefined });
    assert.deepEqual(Object.fromEntries(await facts.sellableUnits(["A", "B"])), { A: 10, B: 5 });
    assert.deepEqual(await facts.reservations("HELD", "", 10), [{ id: "ord_2", status: "HELD", lines: [one("A", 2)] }]);
    assert.deepEqual(
      (await facts.reservationsByOrders(["ord_1", "ord_none"])).map(({ status }) => status),
      ["SOLD"],
    );
    assert.deepEqual(
      (await facts.heldSince(new Date(app.clock.now().getTime() + 26 * 3_600_000), 10)).map(({ order }) => order),
      ["ord_2"],
    );
    assert.deepEqual(await facts.heldSince(app.clock.now(), 10), []);
  });
});
