import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { hourMs, openTestCheckout, shopper } from "./open-test-checkout.ts";

/** A checkout whose order is made only after so many hours: orders is unavailable until then. */
async function delayed(hours: number) {
  const app = await openTestCheckout();
  const begunMs = app.clock.now().getTime();
  let failing = true;
  app.fault = (method) => (method === "orders.createOrder" && failing ? "unavailable" : undefined);
  const place = async (timeoutMs: number) =>
    (await app.checkout.placeOrder({ lines: [{ sku: "A", quantity: 1 }], currency: "EUR" }, shopper("k", { timeoutMs }))).outcome;
  const outcome = await place(6_000);
  assert.ok(outcome.case === "checkout");
  app.clock.advance(hours * hourMs);
  failing = false;
  await app.settle();
  const hoursOf = (time: Timestamp | undefined) => (timestampDate(time!).getTime() - begunMs) / hourMs;
  return { app, hoursOf, place: () => place(10_000), checkout: await app.checkout.getCheckout({ checkout: outcome.value.id }, shopper()) };
}

describe("checkout: one deadline", () => {
  it("R4 ORD-11: however late its steps are done, order and payment end at one time, and the units are set aside for longer", async () => {
    const { app, hoursOf, checkout } = await delayed(3);
    const order = checkout.order!;
    const payment = await app.payments.getPayment({ payment: order.payment!.id }, shopper());
    const reservation = await app.inventory.getReservation({ order: order.id }, testCall());
    assert.deepEqual([hoursOf(order.createdAt), hoursOf(order.expiresAt), hoursOf(payment.expiresAt)], [3, 24, 24]);
    assert.equal(hoursOf(reservation.expiresAt), 25);
    await app.pass(21 * hourMs - 1);
    assert.equal((await app.orders.getOrder({ order: order.id }, shopper())).status, OrderStatus.PENDING);
    await app.pass(1);
    assert.equal((await app.orders.getOrder({ order: order.id }, shopper())).status, OrderStatus.CANCELLED);
    assert.deepEqual((await app.facts()).strays, []);
  });

  it("R4: an order that could no longer be paid is not made, and what was set aside for it is free", async () => {
    const { app, place, checkout } = await delayed(24);
    assert.deepEqual([checkout.status, checkout.problem?.reason], [CheckoutStatus.REFUSED, "ORDER_EXPIRED"]);
    await assert.rejects(place(), { reason: "ORDER_EXPIRED", code: "failed_precondition" });
    const { orders, payments, strays } = await app.facts();
    assert.deepEqual([orders, payments, strays], [{}, {}, []]);
  });
});
