import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, one, openTestInventory } from "./open-test-inventory.ts";

const { COUNTED, BACKORDER, NOT_COUNTED } = StockPolicy;

async function setup() {
  const app = await openTestInventory();
  return {
    ...app,
    policies: (stock: readonly { sku: string; onHand?: number; policy?: StockPolicy }[], bookDifference = false) =>
      app.client.importStock({ stock: stock.map((one) => ({ keepsUnits: one.onHand === undefined, ...one })), bookDifference }, testCall()),
    stock: async (sku: string) => {
      const { items } = await app.client.listStock({ sku: [sku] }, admin());
      return [items[0]?.onHand, items[0]?.reserved, items[0]?.available, items[0]?.policy];
    },
  };
}

describe("stock policies", { concurrency: 2 }, () => {
  it("INV-01: takes orders beyond the units that are there for backorders and what is not counted, and for nothing else", async () => {
    const { policies, reserve, stock, publish, settle, check, client } = await setup();
    await policies([
      { sku: "voucher", policy: NOT_COUNTED },
      { sku: "chair", onHand: 2, policy: BACKORDER },
      { sku: "lamp", onHand: 2, policy: COUNTED },
    ]);
    const order = [one("voucher", 3), one("chair", 5), one("lamp", 2)];
    assert.ok("held" in (await reserve("o1", order)));
    assert.ok("refused" in (await reserve("o2", [one("voucher"), one("chair"), one("lamp")])));
    assert.deepEqual(await stock("chair"), [2, 5, -3, BACKORDER]);
    await publish([{ order: "o1", lines: order, news: ["paid"] }]);
    await settle();
    assert.deepEqual(await stock("voucher"), [-3, 0, -3, NOT_COUNTED]);
    assert.deepEqual(await stock("chair"), [-3, 0, -3, BACKORDER]);
    assert.deepEqual(await stock("lamp"), [0, 0, 0, COUNTED]);
    // A payment that comes after its reservation has gone claims them all the same.
    assert.ok("held" in (await reserve("o3", [one("chair")])));
    await client.release({ order: "o3" }, testCall());
    await publish([{ order: "o3", lines: [one("chair")], news: ["paid", "cancelled"] }]);
    await settle();
    assert.deepEqual(await stock("chair"), [-3, 0, -3, BACKORDER]);
    await check();
  });

  it("INV-01: what is counted again keeps what it has promised, and promises no more", async () => {
    const { policies, reserve, stock, publish, settle, check } = await setup();
    await policies([{ sku: "chair", onHand: 1, policy: BACKORDER }]);
    await reserve("o1", [one("chair", 4)]);
    await policies([{ sku: "chair", policy: COUNTED }]);
    assert.deepEqual(await stock("chair"), [1, 4, -3, COUNTED]);
    assert.ok("refused" in (await reserve("o2", [one("chair")])));
    await publish([{ order: "o1", lines: [one("chair", 4)], news: ["paid"] }]);
    await settle();
    assert.deepEqual(await stock("chair"), [-3, 0, -3, COUNTED]);
    await policies([{ sku: "chair", onHand: 1 }], true);
    assert.deepEqual(await stock("chair"), [1, 0, 1, COUNTED]);
    assert.ok("held" in (await reserve("o3", [one("chair")])));
    assert.ok("refused" in (await reserve("o4", [one("chair")])));
    await check();
  });

  it("INV-01: an import that says nothing changes neither units nor policy, and the same again books nothing", async () => {
    const { policies, stock, check } = await setup();
    const both = [
      { sku: "chair", onHand: 0, policy: BACKORDER },
      { sku: "voucher", policy: NOT_COUNTED },
    ];
    assert.equal((await policies(both)).booked, 2);
    assert.equal((await policies(both)).booked, 0);
    assert.equal((await policies([{ sku: "chair", onHand: 5 }, { sku: "voucher" }])).booked, 0);
    assert.deepEqual(
      [await stock("chair"), await stock("voucher")],
      [
        [0, 0, 0, BACKORDER],
        [0, 0, 0, NOT_COUNTED],
      ],
    );
    await check();
  });

  it("INV-01: a count books in what was counted, however many units backorders have set aside", async () => {
    const { policies, reserve, stock, client, check } = await setup();
    await policies([{ sku: "chair", onHand: 2, policy: BACKORDER }]);
    assert.ok("held" in (await reserve("o1", [one("chair", 5)])));
    assert.equal((await policies([{ sku: "chair", onHand: 2 }], true)).booked, 0);
    assert.deepEqual(await stock("chair"), [2, 5, -3, BACKORDER]);
    await policies([{ sku: "chair", onHand: 1 }], true);
    assert.deepEqual(await stock("chair"), [2, 5, -3, BACKORDER]);
    await policies([{ sku: "chair", onHand: 4 }], true);
    assert.deepEqual(await stock("chair"), [4, 5, -1, BACKORDER]);
    await policies([{ sku: "chair", onHand: 4, policy: COUNTED }], true);
    assert.deepEqual(await stock("chair"), [4, 5, -1, COUNTED]);
    // No unit that never came is there to be sold when the order is gone.
    await client.release({ order: "o1" }, testCall());
    assert.deepEqual(await stock("chair"), [4, 0, 4, COUNTED]);
    await check();
  });
});
