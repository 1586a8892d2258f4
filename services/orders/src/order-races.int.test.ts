import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import fc from "fast-check";
import { customer, hourMs, openTestOrders, staff } from "./open-test-orders.ts";
import type { TestOrders } from "./open-test-orders.ts";

const legal: Readonly<Record<string, readonly string[]>> = {
  PENDING: ["PAID", "CANCELLED"],
  PAID: ["COMPLETED", "CANCELLED"],
  COMPLETED: [],
  CANCELLED: [],
};

/** I3 I6 CON-02 MSG-13: what must hold of an order that nothing happens to any more. */
async function check(app: TestOrders, id: string): Promise<OrderStatus> {
  const [events, stored, order] = [await app.events(id), await app.stored(id), await app.read(id)];
  assert.deepEqual(
    events.map(({ version }) => version),
    events.map((_, nth) => nth + 1),
    "versions 1..n",
  );
  assert.equal(stored.version, events.length);
  assert.deepEqual(
    toBinary(OrderStateSchema, events.at(-1)!.order),
    toBinary(OrderStateSchema, stored.state),
    "CON-02: the events give the stored state",
  );
  assert.equal(stored.status, OrderStatus[stored.state.status]);
  for (const [nth, { order: after }] of events.slice(1).entries()) {
    const before = events[nth]!.order;
    if (before.status !== after.status)
      assert.ok(legal[OrderStatus[before.status]]?.includes(OrderStatus[after.status]), "I6: a legal path");
    assert.deepEqual(after.history.slice(0, before.history.length), before.history, "history is only added to");
  }
  for (const { actor, at } of events) assert.ok(actor !== "" && at.getTime() > 0);
  assert.deepEqual(
    order.history.map(({ status }) => status),
    stored.state.history.map(({ status }) => status),
  );
  const payment = await app.payments.getPayment({ payment: order.payment!.id }, staff());
  if (order.status === OrderStatus.CANCELLED)
    assert.ok([PaymentStatus.CLOSED, PaymentStatus.REFUNDED].includes(payment.status), "never charged and cancelled");
  if (order.status === OrderStatus.PENDING) assert.equal(payment.status, PaymentStatus.OPEN);
  if (order.status === OrderStatus.PAID && !order.cancelling) assert.equal(payment.status, PaymentStatus.CAPTURED);
  return order.status;
}

describe("orders: who comes first", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });

  it("CON-06: of transitions at the same time one wins, and all see it", async () => {
    for (let round = 0; round < 12; round++) {
      const order = await app.place();
      await app.pay(order);
      const results = await Promise.allSettled([
        app.orders.createFulfilment({ order: order.id, carrier: "DHL", tracking: "1" }, staff()),
        app.orders.cancelOrder({ order: order.id }, customer()),
        app.orders.cancelOrder({ order: order.id }, staff()),
        app.orders.createFulfilment({ order: order.id, carrier: "UPS", tracking: "2" }, staff()),
      ]);
      await app.settle();
      const status = await check(app, order.id);
      const won = results.map((result) => result.status === "fulfilled");
      if (status === OrderStatus.COMPLETED) assert.equal(Number(won[0]) + Number(won[3]), 1);
      else assert.deepEqual([status, ...won], [OrderStatus.CANCELLED, false, true, true, false]);
      for (const result of results)
        if (result.status === "rejected") assert.equal((result.reason as { reason: string }).reason, "ORDER_STATE");
    }
  });

  it("CON-06: PostgreSQL refuses what the state machine does not have, whoever writes it", async () => {
    const { database } = app.services.get("orders")!;
    const { id } = await app.place();
    const move = (to: string) => database.run(sql`update orders set status = ${to} where id = ${id}`);
    const refused = { code: "23514" };
    for (const [from, allowed] of Object.entries<readonly string[]>({ ...legal, VOID: [] })) {
      await database.run(sql`alter table orders disable trigger orders_status`);
      await move(from);
      await database.run(sql`alter table orders enable trigger orders_status`);
      for (const to of ["PENDING", "PAID", "COMPLETED", "CANCELLED", "VOID"])
        if (to !== from && !allowed.includes(to)) await assert.rejects(move(to), refused, `${from} to ${to}`);
    }
    await assert.rejects(move("SHIPPED"), refused);
  });

  it("ORD-06 MSG-13: the history says what happened, when and by whom", async () => {
    const own = await openTestOrders();
    const order = await own.place();
    await own.pass(4 * hourMs);
    await own.pay(order);
    await own.pass(hourMs);
    await own.orders.createFulfilment({ order: order.id, carrier: "DHL", tracking: "1" }, staff());
    const { items } = await own.orders.getOrderHistory({ order: order.id }, customer());
    const placedMs = timestampDate(order.createdAt!).getTime();
    assert.deepEqual(
      items.map(({ version, type, at, actor, status }) => [
        version,
        type,
        (timestampDate(at!).getTime() - placedMs) / hourMs,
        actor,
        OrderStatus[status],
      ]),
      [
        [1, "orders.order.placed", 0, "usr_test", "PENDING"],
        [2, "orders.order.reminder_due", 4, "orders", "PENDING"],
        [3, "orders.order.paid", 4, "orders", "PAID"],
        [4, "orders.order.fulfilled", 5, "usr_admin", "PAID"],
        [5, "orders.order.completed", 5, "usr_admin", "COMPLETED"],
      ],
    );
    const { history } = await own.read(order.id);
    assert.deepEqual(
      history.map(({ status, at, actor }) => [OrderStatus[status], (timestampDate(at!).getTime() - placedMs) / hourMs, actor]),
      [
        ["PENDING", 0, "usr_test"],
        ["PAID", 4, "payments"],
        ["COMPLETED", 5, "usr_admin"],
      ],
    );
    await check(own, order.id);
  });

  it("PAY-06: a payment whose webhook comes five times makes its order PAID once", async () => {
    const order = await app.place();
    const attempt = await app.payAtProvider(order);
    await Promise.all([
      ...Array.from({ length: 5 }, () => app.webhook(attempt)),
      app.payments.completePayment({ payment: order.payment!.id }, customer()),
    ]);
    await app.settle();
    assert.deepEqual(
      (await app.events(order.id)).map(({ type }) => type),
      ["placed", "paid"],
    );
  });

  it("ORD-05 ORD-15 CON-02 I3 I6: whatever customers, provider, staff and time do to orders, in any order and at once, they end right", async () => {
    const numRuns = Number(process.env["KONTOR_ORDER_SEQUENCES"] ?? 10);
    const steps = {
      pay: async (order: Order) => {
        const attempt = await app.attempt(order);
        if (app.provider.pay(attempt)) await app.webhook(attempt);
      },
      payUnheard: async (order: Order) => void (await app.payAtProvider(order)),
      decline: async (order: Order) => app.provider.decline(await app.attempt(order)),
      complete: (order: Order) => app.payments.completePayment({ payment: order.payment!.id }, customer()),
      cancel: (order: Order) => app.orders.cancelOrder({ order: order.id }, customer()),
      cancelByAdmin: (order: Order) => app.orders.cancelOrder({ order: order.id }, staff()),
      refund: (order: Order) => app.payments.createRefund({ payment: order.payment!.id }, staff()),
      refundPart: (order: Order) =>
        app.payments.createRefund({ payment: order.payment!.id, amount: { currency: "EUR", amount: "7.00" } }, staff()),
      fulfil: (order: Order) => app.orders.createFulfilment({ order: order.id, carrier: "DHL", tracking: "1" }, staff()),
      undo: (order: Order) => app.orders.voidOrder({ order: order.id }, testCall({ user: {} })),
      day: async () => app.pass(24 * hourMs),
      minute: async () => app.pass(60_000),
    };
    const states = ["ORDER_STATE", "PAYMENT_STATE", "REFUND_TOO_LARGE", "TOO_MANY_ATTEMPTS"];
    const fine = [...states, "DEPENDENCY_UNAVAILABLE", "ATTEMPT_UNKNOWN", "PROVIDER_REFUSED"];
    const one = fc.record({
      steps: fc.array(fc.constantFrom(...(Object.keys(steps) as (keyof typeof steps)[])), { minLength: 1, maxLength: 6 }),
      together: fc.boolean(),
      faults: fc.array(fc.constantFrom("lost" as const, "unavailable" as const, undefined, undefined, undefined), { maxLength: 8 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 3, maxLength: 6 }), async (sequences) => {
        const orders = await Promise.all(sequences.map(() => app.place()));
        const faults = sequences.flatMap((sequence) => sequence.faults);
        app.provider.fault = () => faults.shift();
        const run = async (order: Order, name: keyof typeof steps) => {
          try {
            await steps[name](order);
          } catch (error) {
            if (!fine.includes((error as { reason: string }).reason)) throw error;
          }
        };
        await Promise.all(
          sequences.map(async ({ steps: names, together }, nth) => {
            if (together) return Promise.all(names.map((name) => run(orders[nth]!, name)));
            for (const name of names) await run(orders[nth]!, name);
            return undefined;
          }),
        );
        app.provider.fault = () => undefined;
        for (let tries = 0; tries < 6; tries++) await app.pass(60_000);
        await app.pass(24 * hourMs);
        for (const { id } of orders) assert.ok([OrderStatus.COMPLETED, OrderStatus.CANCELLED].includes(await check(app, id)));
        assert.equal(await app.parked(), 0);
      }),
      { numRuns, seed: Number(process.env["KONTOR_SEED"] ?? 4), endOnFailure: true },
    );
    const { taken, returned } = app.provider.ledger();
    const { database } = app.services.get("payments")!;
    const { net } = await database.one<{ net: bigint }>(sql`select coalesce(sum(captured - refunded), 0)::bigint as net from payments`);
    assert.equal(taken - returned, net, "I3 I4: the provider's ledger agrees with payments");
  });
});
