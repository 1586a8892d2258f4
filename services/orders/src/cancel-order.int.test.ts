import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { InventoryService, MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus, RefundStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { customer, hourMs, openTestOrders, staff } from "./open-test-orders.ts";
import type { TestOrders } from "./open-test-orders.ts";

const types = async (app: TestOrders, order: Order) => (await app.events(order.id)).map(({ type }) => type);
const money = async (app: TestOrders, order: Order) => {
  const { status, refunded } = await app.payments.getPayment({ payment: order.payment!.id }, staff());
  return [PaymentStatus[status], refunded?.amount];
};
const cause = (order: Order) => [OrderStatus[order.status], order.history.at(-1)?.cause, order.history.at(-1)?.actor];
const fulfil = (app: TestOrders, order: Order, version?: number) =>
  app.orders.createFulfilment({ order: order.id, carrier: "DHL", tracking: "1", ...(version !== undefined && { version }) }, staff());

describe("orders: cancelling an unpaid one", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });

  it("ORD-14 ORD-16: its payment is closed first, its units are free again, and it can no longer be paid", async () => {
    const available = await app.available();
    const order = await app.place();
    const attempt = await app.attempt(order);
    const cancelled = await app.orders.cancelOrder({ order: order.id, version: 1 }, customer());
    assert.deepEqual(cause(cancelled), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.deepEqual([cancelled.payment?.url, cancelled.cancelling, cancelled.version], [undefined, false, 3]);
    assert.equal(app.provider.pay(attempt), false);
    assert.deepEqual(await money(app, order), ["CLOSED", "0.00"]);
    await app.settle();
    assert.equal(await app.available(), available);
    assert.deepEqual(await types(app, order), ["placed", "cancel_requested", "cancelled"]);
  });

  it("a repeat gets the same response, with its key and without", async () => {
    const order = await app.place();
    const first = await app.orders.cancelOrder({ order: order.id, version: 1 }, customer("usr_test", { idempotencyKey: "cancel-1" }));
    const again = await app.orders.cancelOrder({ order: order.id, version: 1 }, customer("usr_test", { idempotencyKey: "cancel-1" }));
    assert.deepEqual(again, first);
    assert.deepEqual(await app.orders.cancelOrder({ order: order.id }, customer()), first);
    assert.deepEqual(await types(app, order), ["placed", "cancel_requested", "cancelled"]);
  });

  it("R5: a key that was used for another order does not cancel this one", async () => {
    const [one, other] = [await app.place(), await app.place()];
    await app.orders.cancelOrder({ order: one.id }, customer("usr_test", { idempotencyKey: "cancel-2" }));
    await assert.rejects(app.orders.cancelOrder({ order: other.id }, customer("usr_test", { idempotencyKey: "cancel-2" })), {
      reason: "IDEMPOTENCY_KEY_REUSED",
    });
    assert.equal((await app.read(other.id)).status, OrderStatus.PENDING);
  });

  it("refuses a version that is stale, with the one that it has", async () => {
    const order = await app.place();
    await assert.rejects(app.orders.cancelOrder({ order: order.id, version: 7 }, customer()), {
      reason: "VERSION_CONFLICT",
      code: "aborted",
      details: { version: 1 },
    });
    assert.deepEqual(await money(app, order), ["OPEN", "0.00"]);
    await assert.rejects(fulfil(app, order, 7), { reason: "VERSION_CONFLICT", details: { version: 1 } });
  });

  it("R7: while the provider does not say, it stays PENDING and is `cancelling`; the task cancels it once the provider has said", async () => {
    const order = await app.place();
    const attempt = await app.attempt(order);
    app.provider.hold(attempt);
    const waiting = await app.orders.cancelOrder({ order: order.id }, customer());
    assert.deepEqual([waiting.status, waiting.cancelling, waiting.payment?.url], [OrderStatus.PENDING, true, undefined]);
    app.provider.decline(attempt);
    await app.pass(60_000);
    assert.deepEqual(cause(await app.read(order.id)), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.deepEqual(await types(app, order), ["placed", "cancel_requested", "cancelled"]);
  });

  it("R6: one that turns out to be paid is refunded and cancelled; the event of the capture that comes later does no harm", async () => {
    const order = await app.place();
    await app.payAtProvider(order);
    const cancelled = await app.orders.cancelOrder({ order: order.id }, customer());
    assert.deepEqual(cause(cancelled), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.deepEqual(await money(app, order), ["REFUNDED", "19.99"]);
    await app.pass(60_000);
    assert.deepEqual(await types(app, order), ["placed", "cancel_requested", "paid", "cancelled"]);
    assert.equal(await app.parked(), 0);
  });

  it("CON-01: compensated by its checkout: cancelled, or refunded when it was paid already, as often as it is requested", async () => {
    const available = await app.available();
    const [unpaid, paid, applied] = [await app.place(), await app.place(), await app.place()];
    await app.payAtProvider(paid);
    await app.pay(applied);
    for (const order of [unpaid, paid, applied])
      for (let time = 0; time < 3; time++) await app.orders.voidOrder({ order: order.id }, testCall({ user: {} }));
    await app.settle();
    for (const order of [unpaid, paid, applied]) assert.deepEqual(cause(await app.read(order.id)).slice(0, 2), ["CANCELLED", "CHECKOUT"]);
    assert.deepEqual(await money(app, unpaid), ["CLOSED", "0.00"]);
    assert.deepEqual(await money(app, paid), ["REFUNDED", "19.99"]);
    assert.deepEqual(await money(app, applied), ["REFUNDED", "19.99"]);
    assert.equal(await app.available(), available);
    assert.equal(await app.parked(), 0);
  });
});

describe("orders: cancelling a paid one", () => {
  let app: TestOrders;
  before(async () => {
    app = await openTestOrders();
  });

  it("ORD-05 PAY-04: it is refunded in full and cancelled, and its units come back", async () => {
    const available = await app.available();
    const order = await app.place({ lines: [["A", 3]] });
    await app.pay(order);
    assert.equal(await app.available(), available - 3);
    const { version } = await app.read(order.id);
    const cancelled = await app.orders.cancelOrder({ order: order.id, version }, customer());
    assert.deepEqual(cause(cancelled), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.deepEqual(await money(app, order), ["REFUNDED", "59.97"]);
    await app.settle();
    assert.equal(await app.available(), available);
    assert.deepEqual(await types(app, order), ["placed", "paid", "cancel_requested", "cancelled"]);
    assert.equal((await app.events(order.id)).at(-1)?.order.cancelling, false);
  });

  it("R7: while the provider is unavailable it is `cancelling`, cannot be fulfilled, and the task ends it", async () => {
    const order = await app.place();
    await app.pay(order);
    app.provider.fault = () => "unavailable";
    const cancelled = await app.orders.cancelOrder({ order: order.id }, customer("usr_test", { idempotencyKey: "away-1" }));
    assert.deepEqual([cancelled.status, cancelled.cancelling], [OrderStatus.PAID, true]);
    await assert.rejects(fulfil(app, order), { reason: "ORDER_STATE", details: { status: "PAID", cancelling: true } });
    for (let minutes = 0; minutes < 5; minutes++) await app.pass(60_000);
    assert.equal((await app.read(order.id)).cancelling, true);
    app.provider.fault = () => undefined;
    for (let minutes = 0; minutes < 6; minutes++) await app.pass(60_000);
    assert.deepEqual(cause(await app.read(order.id)), ["CANCELLED", "CUSTOMER", "usr_test"]);
    const again = await app.orders.cancelOrder({ order: order.id }, customer("usr_test", { idempotencyKey: "away-1" }));
    assert.deepEqual(again, cancelled, "the key has its first response");
    assert.deepEqual(await types(app, order), ["placed", "paid", "cancel_requested", "cancelled"]);
  });

  it("R7: a silent provider does not delay the response; its refund is one", async () => {
    const order = await app.place();
    await app.pay(order);
    const { returned } = app.provider.ledger();
    app.provider.fault = () => "silent";
    const cancelled = await app.orders.cancelOrder({ order: order.id }, customer("usr_test", { timeoutMs: 500 }));
    assert.deepEqual([cancelled.status, cancelled.cancelling], [OrderStatus.PAID, true]);
    app.provider.fault = (operation) => (operation === "refund" && app.provider.operations.push("x") % 3 !== 0 ? "lost" : undefined);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => app.orders.cancelOrder({ order: order.id }, customer())));
    assert.ok(outcomes.every(({ status, cancelling }) => status === OrderStatus.CANCELLED || cancelling));
    for (let tries = 0; tries < 10; tries++) await app.pass(10_000);
    app.provider.fault = () => undefined;
    assert.deepEqual(await types(app, order), ["placed", "paid", "cancel_requested", "cancelled"]);
    assert.equal(app.provider.ledger().returned - returned, 1999n);
  });

  it("a refund whose event arrives before its caller has the response leaves the cause to the caller", async () => {
    const order = await app.place();
    await app.pay(order);
    app.provider.fault = (operation) => (operation === "refund" ? "lost" : undefined);
    assert.equal((await app.orders.cancelOrder({ order: order.id }, customer())).cancelling, true);
    app.provider.fault = () => undefined;
    await app.payments.refundPayment({ payment: order.payment!.id }, testCall());
    await app.settle();
    assert.deepEqual(cause(await app.read(order.id)), ["CANCELLED", "CUSTOMER", "usr_test"]);
  });

  it("PAY-04: a refund that the provider refuses is begun again by an admin only; then the order is cancelled at once", async () => {
    const own = await openTestOrders();
    const order = await own.place();
    await own.pay(order);
    own.provider.refusesRefunds = true;
    own.faultsExpected = true;
    const refunds = async () =>
      (await own.payments.getPayment({ payment: order.payment!.id }, staff())).refunds.map(({ status }) => RefundStatus[status]);
    for (const by of [customer(), customer(), staff()])
      assert.equal((await own.orders.cancelOrder({ order: order.id }, by)).cancelling, true);
    await own.pass(26 * hourMs);
    const waiting = await own.read(order.id);
    assert.deepEqual([waiting.status, waiting.cancelling], [OrderStatus.PAID, true], "its day does not complete it");
    own.provider.refusesRefunds = false;
    for (const by of [customer(), staff()]) await own.orders.cancelOrder({ order: order.id }, by);
    await own.pass(2 * hourMs);
    assert.deepEqual(await refunds(), ["REFUND_FAILED"]);
    await own.payments.createRefund({ payment: order.payment!.id }, staff());
    await own.settle();
    assert.deepEqual(cause(await own.read(order.id)), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.deepEqual([await refunds(), await money(own, order)], [["REFUND_FAILED", "REFUND_DONE"], ["REFUNDED", "19.99"]]); // prettier-ignore
  });

  it("PAY-04: a full refund by an admin takes the order back; a partial one does not, and what is left is refunded with the order", async () => {
    const [whole, partial] = [await app.place(), await app.place()];
    for (const order of [whole, partial]) await app.pay(order);
    await app.payments.createRefund({ payment: whole.payment!.id }, staff());
    await app.payments.createRefund({ payment: partial.payment!.id, amount: { currency: "EUR", amount: "5.00" } }, staff());
    await app.settle();
    assert.deepEqual(cause(await app.read(whole.id)), ["CANCELLED", "REFUNDED", "payments"]);
    assert.equal((await app.read(partial.id)).status, OrderStatus.PAID);
    assert.equal((await app.orders.cancelOrder({ order: partial.id }, customer())).status, OrderStatus.CANCELLED);
    assert.deepEqual(await money(app, partial), ["REFUNDED", "19.99"]);
  });

  it("ORD-05: once fulfilled it is not cancelled, and the repeat is refused alike; a refund leaves it COMPLETED", async () => {
    const order = await app.place();
    await app.pay(order);
    const done = await fulfil(app, order);
    assert.deepEqual([done.status, done.version, done.fulfilments[0]?.carrier], [OrderStatus.COMPLETED, 4, "DHL"]);
    assert.deepEqual(await types(app, order), ["placed", "paid", "fulfilled", "completed"]);
    for (let time = 0; time < 2; time++)
      await assert.rejects(app.orders.cancelOrder({ order: order.id }, customer("usr_test", { idempotencyKey: "too-late" })), {
        reason: "ORDER_STATE",
        code: "failed_precondition",
        details: { status: "COMPLETED", cancelling: false },
      });
    await assert.rejects(fulfil(app, order), { reason: "ORDER_STATE" });
    await app.payments.createRefund({ payment: order.payment!.id }, staff());
    await app.settle();
    assert.equal((await app.read(order.id)).status, OrderStatus.COMPLETED);
    assert.deepEqual(await money(app, order), ["REFUNDED", "19.99"]);
  });

  it("a fulfilment with a repeated key is one, and a PENDING order has none", async () => {
    const order = await app.place();
    await assert.rejects(fulfil(app, order), { reason: "ORDER_STATE", details: { status: "PENDING", cancelling: false } });
    await app.pay(order);
    const call = () => testCall({ user: { id: "usr_admin", roles: ["admin"] }, idempotencyKey: "ful-1" });
    const request = { order: order.id, version: 2, carrier: "DHL", tracking: "1" };
    const [one, two] = await Promise.all([app.orders.createFulfilment(request, call()), app.orders.createFulfilment(request, call())]);
    assert.deepEqual(one, two);
    assert.equal(one.fulfilments.length, 1);
  });
});

describe("orders: units that are sold out", () => {
  it("R4: a payment whose units are sold out is refunded and the order cancelled; one cancelled before that stays as it is", async () => {
    const app = await openTestOrders();
    const inventory = app.clients.of("inventory", InventoryService);
    await inventory.importStock({ stock: [{ sku: "B", onHand: 1 }] }, testCall());
    const orders: Order[] = [];
    for (let nth = 0; nth < 2; nth++) {
      const order = await app.place({ lines: [["B", 1]] });
      await inventory.release({ order: order.id }, testCall());
      orders.push(order);
    }
    await inventory.createMovement({ sku: "B", kind: MovementKind.WRITTEN_OFF, quantity: 1 }, staff());
    const [soldOut, both] = orders as [Order, Order];
    await app.pay(soldOut);
    assert.deepEqual(cause(await app.read(soldOut.id)), ["CANCELLED", "OUT_OF_STOCK", "orders"]);
    assert.deepEqual(await money(app, soldOut), ["REFUNDED", "19.99"]);
    assert.deepEqual(await types(app, soldOut), ["placed", "paid", "cancel_requested", "cancelled"]);

    // Its customer is quicker than inventory's event.
    const resume = await app.pauseSubscriptions();
    await app.payAtProvider(both);
    await app.orders.cancelOrder({ order: both.id }, customer());
    await resume();
    await app.pass(60_000);
    assert.deepEqual(cause(await app.read(both.id)), ["CANCELLED", "CUSTOMER", "usr_test"]);
    assert.equal(await app.parked(), 0);
    assert.equal(app.provider.ledger().taken, app.provider.ledger().returned);
  });
});
