import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderRequestSchema } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { resetSubscription } from "@kontor/platform/events/subscriptions/reset-subscription.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { hourMs, inTurn, openTestCheckout, shopper } from "./open-test-checkout.ts";
import type { TestCheckout } from "./open-test-checkout.ts";

const admin = () => testCall({ user: { id: "usr_admin", roles: ["admin"] } });
describe("checkout: placing an order", () => {
  let app: TestCheckout;
  before(async () => {
    app = await openTestCheckout();
  });

  it("ORD-01 CART-03: a cart becomes an order at the catalogue's prices, with its units set aside and its payment open", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart([
      ["A", 2],
      ["B", 3],
    ]);
    const order = await own.place({ cart }, shopper("k"));
    assert.deepEqual([order.status, order.customer, order.total?.amount], [OrderStatus.PENDING, "usr_test", "54.98"]);
    assert.deepEqual(
      order.lines.map(({ sku, title, quantity, unitPrice, total }) => [sku, title, quantity, unitPrice?.amount, total?.amount]),
      [
        ["A", "Thing A", 2, "19.99", "39.98"],
        ["B", "Thing B", 3, "5.00", "15.00"],
      ],
    );
    assert.match(order.payment?.url ?? "", /^http:\/\/shop\.test\/pay\/pp_/);
    assert.deepEqual(await own.facts(), {
      orders: { PENDING: 1 },
      payments: { OPEN: 1 },
      reservations: { HELD: 1 },
      strays: [],
      charges: 0,
    });
    assert.deepEqual(await own.orders.getOrder({ order: order.id }, shopper()), order);
    await own.pay(order);
    assert.deepEqual(await own.facts(), {
      orders: { PAID: 1 },
      payments: { CAPTURED: 1 },
      reservations: { SOLD: 1 },
      strays: [],
      charges: 1,
    });
    await assert.rejects(own.carts.getCart({ cart }, shopper()), { reason: "NOT_FOUND" }, "the cart is cleared once it is paid");
  });

  it("ORD-01 PAY-01: an order of nothing but what is free is PAID when it is placed, without a page of the provider, and can be cancelled", async () => {
    const own = await openTestCheckout();
    own.prices.set("A", "0.00");
    const order = await own.place({ cart: await own.cart([["A", 2]]) }, shopper("free"));
    assert.deepEqual([order.status, order.total?.amount, order.payment?.url], [OrderStatus.PAID, "0.00", undefined]);
    await own.settle();
    const paid = { orders: { PAID: 1 }, payments: { CAPTURED: 1 }, reservations: { SOLD: 1 }, strays: [], charges: 0 };
    assert.deepEqual(await own.facts(), paid);
    assert.deepEqual(
      (await own.orders.getOrder({ order: order.id }, shopper())).history.map(({ status }) => status),
      [OrderStatus.PENDING, OrderStatus.PAID],
    );
    const cancelled = await own.orders.cancelOrder({ order: order.id }, shopper("cancel"));
    assert.equal(cancelled.status, OrderStatus.CANCELLED);
    // One whose payment could not be opened is taken back too.
    own.fault = (method) => (method === "payments.openPayment" ? "refused" : undefined);
    await assert.rejects(own.place({ cart: await own.cart([["A", 1]]) }, shopper("refused")));
    await own.settle();
    const { orders, reservations } = await own.facts();
    assert.deepEqual([orders, reservations], [{ CANCELLED: 2 }, { CLOSED: 2 }]);
  });

  it("takes lines with a currency too, the same SKU twice if they like", async () => {
    const lines = [
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 1 },
      { sku: "A", quantity: 2 },
    ];
    const order = await app.place({ lines, currency: "EUR" }, shopper());
    assert.deepEqual(
      order.lines.map(({ sku, quantity }) => [sku, quantity]),
      [
        ["A", 1],
        ["B", 1],
        ["A", 2],
      ],
    );
    assert.equal(order.total?.amount, "64.97");
    const { lines: held } = await app.inventory.getReservation({ order: order.id }, testCall());
    assert.deepEqual(
      held.map(({ sku, quantity }) => [sku, quantity]),
      [
        ["A", 3],
        ["B", 1],
      ],
    );
  });

  it("refuses users without a verified address, guests, and requests with too many or too few fields", async () => {
    const cart = await app.cart();
    await assert.rejects(app.checkout.placeOrder({ cart }, shopper("k1", { verified: false })), {
      reason: "EMAIL_NOT_VERIFIED",
      code: "permission_denied",
    });
    const edge = app.rpc.clientsFor("gateway").of("checkout", CheckoutService);
    await assert.rejects(edge.placeOrder({ cart }, testCall()), { reason: "UNAUTHENTICATED" });
    const line = { sku: "A", quantity: 1 };
    const wrong: readonly (readonly [MessageInitShape<typeof PlaceOrderRequestSchema>, string])[] = [
      [{}, "cart"],
      [{ lines: [line] }, "currency"],
      [{ cart, lines: [line] }, "lines"],
      [{ cart, currency: "EUR" }, "currency"],
      [{ lines: [{ sku: "A", quantity: 0 }], currency: "EUR" }, "lines[0].quantity"],
      [{ lines: [line], currency: "XXX1" }, "currency"],
    ];
    for (const [request, field] of wrong)
      await assert.rejects(app.checkout.placeOrder(request, shopper()), (error: { reason: string; fields: { field: string }[] }) => {
        assert.deepEqual([error.reason, error.fields[0]?.field], ["INVALID_REQUEST", field]);
        return true;
      });
  });

  it("refuses an empty cart, one that is not there or another's, and what cannot be bought", async () => {
    await assert.rejects(app.checkout.placeOrder({ cart: await app.cart([]) }, shopper()), {
      reason: "CART_EMPTY",
      code: "failed_precondition",
    });
    await assert.rejects(app.checkout.placeOrder({ cart: "crt_none" }, shopper()), { reason: "NOT_FOUND" });
    const others = await app.cart([["A", 1]], "usr_other");
    await assert.rejects(app.checkout.placeOrder({ cart: others }, shopper()), { reason: "NOT_FOUND" });
    app.prices.set("GONE", "1.00");
    const cart = await app.cart([
      ["A", 1],
      ["GONE", 1],
    ]);
    app.prices.delete("GONE");
    await assert.rejects(app.checkout.placeOrder({ cart }, shopper()), {
      reason: "LINE_UNAVAILABLE",
      code: "failed_precondition",
      details: { skus: ["GONE"] },
    });
    await assert.rejects(app.checkout.placeOrder({ lines: [{ sku: "A", quantity: 1 }], currency: "USD" }, shopper()), {
      reason: "LINE_UNAVAILABLE",
      details: { skus: ["A"] },
    });
    app.prices.set("DEAR", "999999999999.99");
    await assert.rejects(app.checkout.placeOrder({ lines: [{ sku: "DEAR", quantity: 10_000 }], currency: "EUR" }, shopper()), {
      reason: "TOTAL_TOO_LARGE",
      message: "The total must be at most 1000000000000.00 EUR",
    });
  });

  it("INV-05: what is sold out is refused with the numbers, to a repeat as well, though there is more by then", async () => {
    app.prices.set("RARE", "1.00");
    await app.inventory.importStock({ stock: [{ sku: "RARE", onHand: 2 }] }, testCall());
    const lines = [
      { sku: "A", quantity: 1 },
      { sku: "RARE", quantity: 3 },
    ];
    const refusal = { reason: "OUT_OF_STOCK", code: "failed_precondition", details: { lines: [{ sku: "RARE", asked: 3, available: 2 }] } };
    await assert.rejects(app.checkout.placeOrder({ lines, currency: "EUR" }, shopper("rare")), refusal);
    await app.inventory.createMovement({ sku: "RARE", kind: MovementKind.RECEIVED, quantity: 5 }, admin());
    await assert.rejects(app.checkout.placeOrder({ lines, currency: "EUR" }, shopper("rare")), refusal);
    assert.equal((await app.place({ lines, currency: "EUR" }, shopper("rare, again"))).status, OrderStatus.PENDING);
  });

  it("R1: of 60 who want the last unit, one gets it", async () => {
    const own = await openTestCheckout();
    own.prices.set("LAST", "1.00");
    await own.inventory.importStock({ stock: [{ sku: "LAST", onHand: 1 }] }, testCall());
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, nth) =>
        own.place({ lines: [{ sku: "LAST", quantity: 1 }], currency: "EUR" }, shopper(`k${nth}`, { id: `usr_${nth}` })),
      ),
    );
    for (const result of results)
      if (result.status === "rejected") assert.equal((result.reason as { reason: string }).reason, "OUT_OF_STOCK");
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
    const { orders, payments, reservations, strays } = await own.facts();
    assert.deepEqual([orders, payments, reservations, strays], [{ PENDING: 1 }, { OPEN: 1 }, { HELD: 1, REFUSED: 59 }, []]);
  });
});

describe("checkout: repeated", () => {
  let app: TestCheckout;
  before(async () => {
    app = await openTestCheckout();
  });

  for (const [whose, user] of [
    ["a guest's", undefined],
    ["one's own", "usr_test"],
  ] as const)
    it(`ORD-04 R5: 50 parallel posts with one key for ${whose} cart are one order with 50 equal responses`, async () => {
      const own = await openTestCheckout();
      const cart = await own.cart([["A", 1]], user);
      const orders = await Promise.all(Array.from({ length: 50 }, () => own.place({ cart }, shopper("same"))));
      for (const order of orders) assert.deepEqual(order, orders[0]);
      assert.deepEqual(await own.facts(), {
        orders: { PENDING: 1 },
        payments: { OPEN: 1 },
        reservations: { HELD: 1 },
        strays: [],
        charges: 0,
      });
    });

  it("CART-03: 50 parallel posts for one cart, each with a key of its own, are one order too", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const orders = await Promise.all(Array.from({ length: 50 }, (_, nth) => own.place({ cart }, shopper(`key-${nth}`))));
    for (const order of orders) assert.deepEqual(order, orders[0]);
    assert.deepEqual((await own.facts()).orders, { PENDING: 1 });
  });

  it("ORD-04: without a key and a cart each post is an order", async () => {
    const request = { lines: [{ sku: "A", quantity: 1 }], currency: "EUR" };
    const [one, two] = [await app.place(request, shopper()), await app.place(request, shopper())];
    assert.notEqual(one.id, two.id);
  });

  it("R5: the same key with another request is refused; another's key is another key", async () => {
    const request = { lines: [{ sku: "A", quantity: 1 }], currency: "EUR" };
    const order = await app.place(request, shopper("r5"));
    for (const other of [
      { lines: [{ sku: "A", quantity: 2 }], currency: "EUR" },
      { cart: await app.cart() },
      { cart: "crt_none" },
      { cart: await app.cart([]) },
    ])
      await assert.rejects(app.checkout.placeOrder(other, shopper("r5")), { reason: "IDEMPOTENCY_KEY_REUSED", code: "invalid_argument" });
    assert.deepEqual(await app.place(request, shopper("r5")), order);
    assert.notEqual((await app.place(request, shopper("r5", { id: "usr_other" }))).id, order.id);
  });

  it("R5: replays after 23 hours, though it was paid, its cart removed, and the price changed", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const order = await own.place({ cart }, shopper("day"));
    await own.pay(order);
    own.prices.set("A", "99.00");
    await own.pass(23 * hourMs);
    await assert.rejects(own.carts.getCart({ cart }, shopper()), { reason: "NOT_FOUND" });
    assert.deepEqual(await own.place({ cart }, shopper("day")), order);
    own.prices.delete("A");
    assert.deepEqual(await own.place({ cart }, shopper("day")), order);
    await assert.rejects(own.checkout.placeOrder({ cart }, shopper("another")), { reason: "NOT_FOUND" });
    const { orders, charges } = await own.facts();
    assert.deepEqual([orders, charges], [{ PAID: 1 }, 1]);
  });

  it("CART-03: another key gets the same order while it lives; once it is cancelled there can be another", async () => {
    const cart = await app.cart([["A", 1]], "usr_test");
    const first = await app.place({ cart }, shopper("c1"));
    assert.deepEqual(await app.place({ cart }, shopper("c2")), first);
    await app.orders.cancelOrder({ order: first.id }, shopper());
    await app.settle();
    const second = await app.place({ cart }, shopper("c3"));
    assert.notEqual(second.id, first.id);
    assert.equal(second.status, OrderStatus.PENDING);
    assert.deepEqual(await app.place({ cart }, shopper("c1")), first, "the first key still has its response");
    await app.pass(24 * hourMs);
    assert.equal((await app.orders.getOrder({ order: second.id }, shopper())).status, OrderStatus.CANCELLED);
    assert.notEqual((await app.place({ cart }, shopper("c4"))).id, second.id);
  });

  it("CART-03: a cart whose checkout was refused can be checked out at once, and what its undoing says later frees nothing", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    own.fault = inTurn({ "payments.openPayment": ["refused"] });
    const resume = await own.pauseSubscriptions();
    await assert.rejects(own.checkout.placeOrder({ cart }, shopper("u1")), { reason: "CART_EMPTY" });
    const [first, second] = await Promise.all([own.place({ cart }, shopper("u2")), own.place({ cart }, shopper("u3"))]);
    // The event of the compensated order's cancellation arrives only now.
    await resume();
    await own.settle();
    assert.deepEqual(second, first);
    assert.deepEqual(await own.place({ cart }, shopper("u4")), first);
    assert.deepEqual((await own.facts()).orders, { CANCELLED: 1, PENDING: 1 });
  });

  it("CART-03 R18: the event of a cancelled order that comes again leaves the cart to the order that lives by then", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const first = await own.place({ cart }, shopper("r1"));
    await own.orders.cancelOrder({ order: first.id }, shopper());
    await own.settle();
    const second = await own.place({ cart }, shopper("r2"));
    await resetSubscription(own.services.get("checkout")!.database, "checkout.orders", async () => undefined);
    await own.settle();
    assert.equal((await own.place({ cart }, shopper("r3"))).id, second.id);
    assert.deepEqual((await own.facts()).orders, { CANCELLED: 1, PENDING: 1 });
  });
});
