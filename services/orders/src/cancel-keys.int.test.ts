import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService, PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contractOf } from "@kontor/platform/contract/contract.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { customer, openTestOrders, staff } from "./open-test-orders.ts";
import type { TestOrders } from "./open-test-orders.ts";

const reason = (outcome: PromiseSettledResult<unknown>): string =>
  outcome.status === "fulfilled" ? "ok" : (outcome.reason as { readonly reason: string }).reason;
const keyed = (idempotencyKey: string) => customer("usr_test", { idempotencyKey });

describe("orders: what a cancellation is decided by", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });
  const payment = async ({ payment: of }: Order) => PaymentStatus[(await app.payments.getPayment({ payment: of!.id }, staff())).status];

  it("R5 CON-06: of two orders that are cancelled at the same time under one key, one is", async () => {
    for (let round = 0; round < 10; round++) {
      const orders = [await app.place(), await app.place()];
      await app.pay(orders[0]!);
      const outcomes = await Promise.allSettled(orders.map(({ id }) => app.orders.cancelOrder({ order: id }, keyed(`both-${round}`))));
      assert.deepEqual(outcomes.map(reason).toSorted(), ["IDEMPOTENCY_KEY_REUSED", "ok"]);
      const left = orders[outcomes.findIndex(({ status }) => status === "rejected")]!;
      assert.equal((await app.read(left.id)).cancelling, false);
      assert.equal(await payment(left), left === orders[0] ? "CAPTURED" : "OPEN");
    }
  });

  it("CON-06: who has seen the order unpaid does not refund one that is paid", async () => {
    const order = await app.place();
    const { database } = app.services.get("orders")!;
    // Somebody else changes the order between its being read and its being locked.
    const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const changing = database.transaction(async (tx) => {
      await tx.run(sql`update orders set version = 2 where id = ${order.id}`);
      held.resolve();
      await free.promise;
    });
    await held.promise;
    const refused = assert.rejects(app.orders.cancelOrder({ order: order.id, version: 1 }, customer()), {
      reason: "VERSION_CONFLICT",
      details: { version: 2 },
    });
    await waitsForLock(app);
    free.resolve();
    await Promise.all([changing, refused]);
    assert.equal(await payment(order), "OPEN");
    await database.run(sql`update orders set version = 1 where id = ${order.id}`);
    await app.pay(order);
    await assert.rejects(app.orders.cancelOrder({ order: order.id, version: 1 }, keyed("stale")), { reason: "VERSION_CONFLICT" });
    await assert.rejects(app.orders.cancelOrder({ order: order.id, version: 1 }, keyed("stale")), { reason: "VERSION_CONFLICT" });
    assert.deepEqual([(await app.read(order.id)).status, await payment(order)], [OrderStatus.PAID, "CAPTURED"]);
  });

  it("CON-06: of two who have seen the same version one cancels", async () => {
    for (let round = 0; round < 5; round++) {
      const { id } = await app.place();
      const outcomes = await Promise.allSettled([customer(), staff()].map((by) => app.orders.cancelOrder({ order: id, version: 1 }, by)));
      assert.deepEqual(outcomes.map(reason).toSorted(), ["VERSION_CONFLICT", "ok"]);
    }
  });

  it("MSG-09: a process that ends when the payment is closed leaves an order that the task cancels", async () => {
    const order = await app.place();
    const { database } = app.services.get("orders")!;
    // The order is written once, to be cancelling, and not again.
    await database.run(sql`create or replace function refuse_end() returns trigger language plpgsql as
      'begin if new.status = ''CANCELLED'' then raise exception ''ended'' using errcode = ''57P01''; end if; return new; end'`);
    await database.run(sql`create trigger refuse_end before update on orders for each row execute function refuse_end()`);
    const decided = await app.orders.cancelOrder({ order: order.id }, keyed("crash"));
    await database.run(sql`drop trigger refuse_end on orders`);
    assert.deepEqual([decided.status, decided.cancelling, await payment(order)], [OrderStatus.PENDING, true, "CLOSED"]);
    await app.pass(60_000);
    assert.equal((await app.read(order.id)).status, OrderStatus.CANCELLED);
    assert.deepEqual(await app.orders.cancelOrder({ order: order.id }, keyed("crash")), decided, "the key has its first response");
  });

  it("PAY-04 ORD-16: of the shop's people those cancel another's order who may refund it", async () => {
    const { allow } = contractOf(PaymentsService.method.createRefund);
    for (const who of [Allow.ADMIN, Allow.SELLER, Allow.SUPPORT]) {
      const { id } = await app.place();
      const [outcome] = await Promise.allSettled([app.orders.cancelOrder({ order: id }, staff(Allow[who].toLowerCase()))]);
      assert.equal(outcome.status === "fulfilled", allow.includes(who), Allow[who]);
    }
  });
});

/** Until a statement waits for a lock in the service's database. */
async function waitsForLock(app: TestOrders): Promise<void> {
  const { database } = app.services.get("orders")!;
  for (;;) {
    const { count } = await database.one<{ count: number }>(
      sql`select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (count > 0) return;
    await new Promise(setImmediate);
  }
}
