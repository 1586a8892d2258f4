import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { OrderSchema, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { hourMs, openTestCheckout, orderOf, shopper } from "./open-test-checkout.ts";
import type { TestCheckout } from "./open-test-checkout.ts";

const linesOf = (order: Order) => order.lines.map(({ sku, quantity }) => [sku, quantity]);
const add = (app: TestCheckout, cart: string, sku: string) => app.carts.addLine({ cart, sku, quantity: 1 }, shopper());

describe("checkout: a cart that has an order", () => {
  let app: TestCheckout;
  before(async () => {
    app = await openTestCheckout();
  });

  it("CART-03: another key gets the order as it is now, and again whatever becomes of the order", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const first = await own.place({ cart }, shopper("k1"));
    await own.pass(4 * hourMs);
    const now = await own.orders.getOrder({ order: first.id }, shopper());
    assert.notEqual(now.version, first.version, "it was reminded of");
    const joined = await own.place({ cart }, shopper("k2"));
    assert.deepEqual(joined, now);
    await own.orders.cancelOrder({ order: first.id }, shopper());
    await own.settle();
    const second = await own.place({ cart }, shopper("k3"));
    assert.notEqual(second.id, first.id);
    const again = await own.place({ cart }, shopper("k2"));
    assert.deepEqual(toBinary(OrderSchema, again), toBinary(OrderSchema, joined), "I10: the same bytes");
    await assert.rejects(own.checkout.placeOrder({ cart: await own.cart() }, shopper("k2")), { reason: "IDEMPOTENCY_KEY_REUSED" });
    assert.deepEqual((await own.facts()).orders, { CANCELLED: 1, PENDING: 1 });
  });

  it("CART-03: a key that came while the order was being placed gets that order, also when another has the cart", async () => {
    let failing = true;
    app.fault = (method) => (method === "orders.createOrder" && failing ? "unavailable" : undefined);
    const cart = await app.cart();
    const begun = async (key: string) => (await app.checkout.placeOrder({ cart }, shopper(key, { timeoutMs: 6_000 }))).outcome;
    const [one, two] = await Promise.all([begun(`${cart} 1`), begun(`${cart} 2`)]);
    assert.ok(one.case === "checkout" && two.case === "checkout");
    assert.equal(two.value.id, one.value.id);
    failing = false;
    await app.settle();
    const first = await app.place({ cart }, shopper(`${cart} 1`));
    await app.orders.cancelOrder({ order: first.id }, shopper());
    assert.notEqual((await app.place({ cart }, shopper(`${cart} 3`))).id, first.id);
    assert.deepEqual(orderOf(await app.checkout.placeOrder({ cart }, shopper(`${cart} 2`))), first);
  });

  it("CART-03: a cancelled order is not given to anybody, and its cart is free at once, for one order", async () => {
    const own = await openTestCheckout();
    const resume = await own.pauseSubscriptions();
    const cart = await own.cart();
    const first = await own.place({ cart }, shopper("k1"));
    await own.orders.cancelOrder({ order: first.id }, shopper());
    const orders = await Promise.all(Array.from({ length: 20 }, (_, nth) => own.place({ cart }, shopper(`again ${nth}`))));
    assert.deepEqual([...new Set(orders.map(({ status }) => status))], [OrderStatus.PENDING]);
    assert.equal(new Set(orders.map(({ id }) => id)).size, 1);
    await resume();
    await own.settle();
    assert.equal((await own.place({ cart }, shopper("k3"))).id, orders[0]!.id);
    assert.deepEqual((await own.facts()).orders, { CANCELLED: 1, PENDING: 1 });
  });

  it("CART-03: what was paid is not ordered again, though its event is late; what was added since is", async () => {
    const own = await openTestCheckout();
    const resume = await own.pauseSubscriptions("carts");
    const [bought, more] = [await own.cart([["A", 2]]), await own.cart([["A", 2]])];
    for (const [key, cart] of Object.entries({ bought, more })) {
      const attempt = await own.payments.createAttempt({ payment: (await own.place({ cart }, shopper(key))).payment!.id }, shopper());
      own.provider.pay(attempt.id);
      await own.payments.completePayment({ payment: (await own.place({ cart }, shopper(key))).payment!.id }, shopper());
    }
    await add(own, more, "B");
    await own.services.get("orders")!.subscriptions.caughtUp();
    await assert.rejects(own.checkout.placeOrder({ cart: bought }, shopper("k2")), { reason: "NOT_FOUND" });
    const second = await own.place({ cart: more }, shopper("k3"));
    assert.deepEqual([second.status, linesOf(second)], [OrderStatus.PENDING, [["B", 1]]]);
    await resume();
    await own.pass(10_000);
    assert.deepEqual((await own.facts()).orders, { PAID: 2, PENDING: 1 });
    assert.deepEqual(
      (await own.carts.getCart({ cart: more }, shopper())).lines.map(({ sku }) => sku),
      ["B"],
      "it stays until it is paid too",
    );
    await own.pay(second);
    await own.pass(10_000);
    await assert.rejects(own.carts.getCart({ cart: more }, shopper()), { reason: "NOT_FOUND" });
  });

  it("CART-03: a payment that succeeds while its order is being cancelled is given back, and takes nothing out of the cart", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart([["A", 2]]);
    const first = await own.place({ cart }, shopper("k1"));
    const attempt = await own.payments.createAttempt({ payment: first.payment!.id }, shopper());
    own.provider.hold(attempt.id);
    assert.ok((await own.orders.cancelOrder({ order: first.id }, shopper())).cancelling);
    own.provider.payLate(attempt.id);
    own.provider.refusesRefunds = true;
    await own.payments.completePayment({ payment: first.payment!.id }, shopper());
    await own.settle();
    const paid = await own.orders.getOrder({ order: first.id }, shopper());
    assert.deepEqual([paid.status, paid.cancelling], [OrderStatus.PAID, true]);
    const second = await own.place({ cart }, shopper("k2"));
    assert.deepEqual([second.status, linesOf(second)], [OrderStatus.PENDING, [["A", 2]]]);
    own.provider.refusesRefunds = false;
    await own.payments.createRefund(
      { payment: first.payment!.id },
      testCall({ user: { id: "usr_admin", roles: ["admin"] }, idempotencyKey: "back" }),
    );
    await own.pass(10_000);
    assert.deepEqual((await own.facts()).orders, { CANCELLED: 1, PENDING: 1 });
    assert.deepEqual(
      (await own.carts.getCart({ cart }, shopper())).lines.map(({ sku, quantity }) => [sku, quantity]),
      [["A", 2]],
    );
  });

  it("CART-03: a cart that was changed since is refused with its live order, until the order has ended or the cart is as it was", async () => {
    const cart = await app.cart([["A", 1]], "usr_test");
    const first = await app.place({ cart }, shopper(`${cart} 1`));
    const changed = { reason: "CART_CHANGED", code: "failed_precondition", details: { order: first.id } };
    const { lines } = await add(app, cart, "B");
    await assert.rejects(app.checkout.placeOrder({ cart }, shopper(`${cart} 2`)), changed);
    assert.deepEqual(await app.place({ cart }, shopper(`${cart} 1`)), first, "its own key has its response");
    await app.carts.deleteLine({ cart, line: lines[1]!.id }, shopper());
    assert.equal((await app.place({ cart }, shopper(`${cart} 2`))).id, first.id);
    await app.carts.deleteLine({ cart, line: lines[0]!.id }, shopper());
    await assert.rejects(app.checkout.placeOrder({ cart }, shopper(`${cart} 3`)), changed, "also one that is empty");
    await add(app, cart, "B");
    await app.orders.cancelOrder({ order: first.id }, shopper());
    assert.deepEqual(linesOf(await app.place({ cart }, shopper(`${cart} 3`))), [["B", 1]]);
  });

  it("CART-03: another key gets the live order too when its goods are not sold any more", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const first = await own.place({ cart }, shopper("k1"));
    own.prices.delete("A");
    assert.deepEqual(await own.place({ cart }, shopper("k2")), first);
    await own.orders.cancelOrder({ order: first.id }, shopper());
    await assert.rejects(own.checkout.placeOrder({ cart }, shopper("k3")), { reason: "LINE_UNAVAILABLE" });
  });
});
