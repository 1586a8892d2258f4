import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { one, openTestInventory } from "./open-test-inventory.ts";
import type { TestInventory } from "./open-test-inventory.ts";

/** Reserves as checkout does for a shopper. Gives "held", or the limit or reason that it was refused for. */
function reserving({ client, clock }: TestInventory) {
  let made = 0;
  const expiresAt = () => timestampFromDate(new Date(clock.now().getTime() + 25 * 3_600_000));
  return async (account: string, { quantity = 1, sku = "TEA", origin = `of ${account}`, order = `ord_${++made}_of_${account}` } = {}) => {
    const call = testCall({ user: { id: account } }).with({ origin });
    try {
      await client.reserve({ order, lines: [{ sku, quantity }], expiresAt: expiresAt() }, call);
      return "held";
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal === undefined) throw error;
      return refusal.reason === "TOO_MANY_OPEN_ORDERS" ? (refusal.details as { limit: string }).limit : refusal.reason;
    }
  };
}

const held = (outcomes: readonly string[]) => outcomes.filter((one) => one === "held").length;

describe("inventory: what unpaid orders may hold", { concurrency: 2 }, () => {
  it("S19: an account at full speed holds no more units than its share, and all that another orders meanwhile succeeds", async () => {
    const app = await openTestInventory();
    await app.deliver({ TEA: 1_000 });
    const reserve = reserving(app);
    const hostile: string[] = [];
    const others: string[] = [];
    for (let round = 0; round < 10; round++) {
      const outcomes = await Promise.all([
        ...Array.from({ length: 20 }, () => reserve("usr_hostile", { quantity: 30 })),
        ...Array.from({ length: 2 }, () => reserve("usr_ann", { quantity: 5 })),
      ]);
      hostile.push(...outcomes.slice(0, 20));
      others.push(...outcomes.slice(20));
    }
    assert.deepEqual([held(hostile), new Set(hostile.slice(16))], [16, new Set(["HELD_UNITS_PER_ACCOUNT"])]);
    assert.equal(held(others), 20);
    assert.equal(await reserve("usr_hostile", { quantity: 501, order: "ord_x" }), "HELD_UNITS_PER_ACCOUNT");
    assert.equal(await reserve("usr_bo", { quantity: 421 }), "OUT_OF_STOCK", "what is refused holds nothing: 420 are left of a thousand");
    await app.check();
  });

  it("S19: twenty unpaid orders an account; one that is paid, cancelled, released or expires makes room for another; a repeat needs none", async () => {
    const app = await openTestInventory();
    await app.deliver({ TEA: 1_000 });
    const reserve = reserving(app);
    const place = () => reserve("usr_1");
    const first = await Promise.all(Array.from({ length: 25 }, place));
    assert.deepEqual([held(first), first.at(-1)], [20, "OPEN_ORDERS_PER_ACCOUNT"]);
    assert.equal(await reserve("usr_1", { order: "ord_1_of_usr_1" }), "held", "the same order again");
    assert.equal(await reserve("usr_1", { order: "ord_25_of_usr_1" }), "OPEN_ORDERS_PER_ACCOUNT");
    await app.publish([
      { order: "ord_1_of_usr_1", lines: [one("TEA")], news: ["paid"] },
      { order: "ord_2_of_usr_1", lines: [one("TEA")], news: ["cancelled"] },
    ]);
    await app.settle();
    await app.client.release({ order: "ord_3_of_usr_1" }, testCall());
    assert.deepEqual([held(await Promise.all([place(), place(), place()])), await place()], [3, "OPEN_ORDERS_PER_ACCOUNT"]);
    app.clock.advance(25 * 3_600_000);
    await app.settle();
    assert.equal(held(await Promise.all(Array.from({ length: 20 }, place))), 20);
    await app.check();
  });

  it("S19: an address has its share over all accounts, and is remembered while the order is unpaid only", async () => {
    const app = await openTestInventory();
    await app.deliver({ TEA: 100_000 });
    const reserve = reserving(app);
    const farm: string[] = [];
    for (let nth = 0; nth < 30; nth++)
      farm.push(...(await Promise.all(Array.from({ length: 20 }, () => reserve(`usr_farm_${nth}`, { origin: "farm" })))));
    assert.deepEqual([held(farm), farm.at(-1)], [500, "OPEN_ORDERS_PER_ADDRESS"]);
    assert.equal(await reserve("usr_neighbour"), "held");
    for (let nth = 0; nth < 10; nth++) assert.equal(await reserve(`usr_office_${nth}`, { origin: "office", quantity: 500 }), "held");
    assert.equal(await reserve("usr_office_10", { origin: "office" }), "HELD_UNITS_PER_ADDRESS");
    await app.publish([{ order: "ord_1_of_usr_farm_0", lines: [one("TEA")], news: ["paid"] }]);
    await app.settle();
    const origins = await app.hosted.database.rows<{ origin: string | null; status: string }>(
      sql`select distinct status, origin from reservations where account like 'usr_farm%' order by status`,
    );
    assert.deepEqual(origins, [
      { status: "HELD", origin: "farm" },
      { status: "SOLD", origin: null },
    ]);
    await app.check();
  });
});
