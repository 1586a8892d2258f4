import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { checkoutFacts } from "./facts.ts";
import { openTestCheckout, shopper } from "./open-test-checkout.ts";

describe("checkout: facts", () => {
  it("say what was requested and ordered under each key, and what has not ended", async () => {
    const app = await openTestCheckout();
    const { database } = app.services.get("checkout")!;
    const facts = checkoutFacts.from(database);
    const call = testCall({ user: { id: "usr_test" }, idempotencyKey: "key-1" });
    const order = await app.place({ lines: [{ sku: "A", quantity: 1 }], currency: "EUR" }, call);
    const [checkout] = await facts.checkouts("", 10);
    assert.deepEqual(
      [checkout?.status, checkout?.refused, checkout?.input?.order, checkout?.order?.id],
      ["DONE", false, order.id, order.id],
    );
    assert.deepEqual(await facts.checkouts(checkout!.id, 10), []);
    assert.deepEqual(
      (await facts.keys("", 10)).map(({ checkouts }) => checkouts),
      [[checkout!.id]],
    );
    assert.deepEqual(await facts.underWay(10), []);
    const cart = await app.cart();
    const first = await app.place({ cart }, shopper("key-2"));
    assert.deepEqual(await app.place({ cart }, shopper("key-3")), first);
    const all = await facts.checkouts("", 10);
    assert.deepEqual(
      all.map(({ order: placed }) => placed?.id),
      [order.id, first.id],
      "a key that joined is no checkout",
    );
    assert.equal((await facts.keys("", 10)).length, 3);
    await database.run(sql`delete from sagas where id <> ${checkout!.id}`);
    await database.run(sql`update sagas set status = 'RUNNING', input = 'x', owner = null, lease_until = now() + interval '1 hour'`);
    assert.deepEqual(
      (await facts.underWay(10)).map(({ id, status }) => [id, status]),
      [[checkout!.id, "RUNNING"]],
    );
    assert.equal((await facts.checkouts("", 10))[0]?.input, undefined);
    await database.run(sql`update sagas set status = 'DONE'`);
  });
});
