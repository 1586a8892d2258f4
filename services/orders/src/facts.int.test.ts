import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { orderFacts } from "./facts.ts";
import { openTestOrders, staff } from "./open-test-orders.ts";

describe("orders: facts", () => {
  it("say what is stored of each order, and its events", async () => {
    const app = await openTestOrders();
    const facts = orderFacts.from(app.services.get("orders")!.database);
    const [pending, paid, cancelled] = [await app.place(), await app.place({ lines: [["A", 2]] }), await app.place()];
    await app.pay(paid);
    await app.pay(cancelled);
    app.provider.fault = () => "unavailable";
    await app.orders.cancelOrder({ order: cancelled.id }, staff());
    assert.deepEqual([...(await facts.cancelling([paid.id, cancelled.id]))], [cancelled.id]);
    app.provider.fault = () => undefined;
    for (let minutes = 0; minutes < 6; minutes++) await app.pass(60_000);

    const [first] = await facts.orders(["PENDING"], "", 10);
    assert.deepEqual(first, {
      id: pending.id,
      version: 1,
      status: "PENDING",
      customer: "usr_test",
      currency: "EUR",
      totalMinor: 1999n,
      payment: pending.payment!.id,
    });
    assert.deepEqual(await facts.ordersByIds([pending.id, pending.id, "ord_none"]), [first]);
    assert.deepEqual(await facts.orders(["PENDING"], pending.id, 10), []);
    const [stored] = await facts.paidOrders("", 10);
    assert.deepEqual([stored?.id, stored?.status, stored?.state?.lines[0]?.quantity], [paid.id, "PAID", 2]);
    assert.deepEqual(
      (await facts.everPaid("", 10)).map(({ id }) => id),
      [paid.id, cancelled.id],
    );
    assert.deepEqual([...(await facts.paidEvents([pending.id, paid.id])).keys()], [paid.id]);
    const histories = await facts.histories("", 10);
    assert.deepEqual(
      histories.map(({ id, status, state, events, stateOfLastEvent }) => [id, status, state?.order, events.length, stateOfLastEvent]),
      [
        [pending.id, "PENDING", pending.id, 1, true],
        [paid.id, "PAID", paid.id, 2, true],
        [cancelled.id, "CANCELLED", cancelled.id, 4, true],
      ],
    );
  });
});
