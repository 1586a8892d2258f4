import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { inTurn, openTestCheckout, orderOf, shopper } from "./open-test-checkout.ts";
import type { StepFault, TestCheckout } from "./open-test-checkout.ts";

describe("checkout: when a step fails", () => {
  const steps = {
    "inventory.reserve": "inventory.release",
    "orders.createOrder": "orders.voidOrder",
    "payments.openPayment": "payments.closePayment",
  } as const;
  let app: TestCheckout;
  before(async () => {
    app = await openTestCheckout();
  });
  /** How many orders live, with what belongs to them: as many payments and reservations, or something is wrong. */
  const live = async () => {
    const { orders, payments, reservations, strays, charges } = await app.facts();
    assert.deepEqual([strays, charges], [[], 0]);
    const of = (counts: Readonly<Record<string, number>>, ...names: readonly string[]) =>
      names.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
    const count = of(orders, "PENDING", "PAID");
    assert.deepEqual([of(payments, "OPEN", "CAPTURED"), of(reservations, "HELD", "SOLD")], [count, count]);
    return count;
  };

  for (const [step, undo] of Object.entries(steps)) {
    for (const fault of ["unavailable", "lost"] as const)
      it(`CON-01 ORD-03: ${step} ${fault}: repeated, and the order is placed once`, async () => {
        const before = await live();
        const cart = await app.cart();
        app.fault = inTurn({ [step]: [fault, fault] });
        const order = await app.place({ cart }, shopper(cart));
        assert.equal(await live(), before + 1);
        assert.deepEqual(await app.place({ cart }, shopper(cart)), order);
      });

    for (const [name, faults] of Object.entries<Readonly<Record<string, readonly StepFault[]>>>({
      refused: { [step]: ["refused"] },
      "lost, then refused": { [step]: ["lost", "refused"] },
      "refused, and its compensation unavailable and lost": { [step]: ["lost", "refused"], [undo]: ["unavailable", "lost", "lost"] },
      "refused, and every undoing lost": {
        [step]: ["lost", "refused"],
        ...Object.fromEntries(Object.values(steps).map((each) => [each, ["lost"]])),
      },
    }))
      it(`CON-01 ORD-03: ${step} ${name}: all is taken back once, and the cart is free`, async () => {
        const before = await live();
        const cart = await app.cart();
        app.fault = inTurn(faults);
        await assert.rejects(app.checkout.placeOrder({ cart }, shopper(cart)), { reason: "CART_EMPTY" });
        await assert.rejects(app.checkout.placeOrder({ cart }, shopper(cart)), { reason: "CART_EMPTY" }, "a repeat gets the same");
        await app.settle();
        assert.equal(await live(), before);
        assert.equal((await app.place({ cart }, shopper(`${cart} again`))).status, OrderStatus.PENDING);
        assert.equal(await live(), before + 1);
      });
  }

  it("CON-01 I3: an order that was seen and paid while its checkout was being compensated is refunded", async () => {
    const own = await openTestCheckout();
    const cart = await own.cart();
    const faults = inTurn({ "payments.openPayment": ["lost", "refused"] });
    own.fault = async (method) => {
      const fault = faults(method);
      if (fault !== "refused") return fault;
      // It is there, and its checkout does not know: the customer finds it in the list and pays.
      const { items } = await own.orders.listOrders({}, shopper());
      const { id } = await own.payments.createAttempt({ payment: items[0]!.payment!.id }, shopper());
      own.provider.pay(id);
      return fault;
    };
    await assert.rejects(own.checkout.placeOrder({ cart }, shopper("k")), { reason: "CART_EMPTY" });
    for (let tries = 0; tries < 3; tries++) await own.pass(60_000);
    const { orders, payments, reservations, strays } = await own.facts();
    const { taken, returned } = own.provider.ledger();
    assert.deepEqual([orders, payments, strays], [{ CANCELLED: 1 }, { REFUNDED: 1 }, []]);
    assert.deepEqual([reservations["HELD"], reservations["SOLD"]], [undefined, undefined]);
    assert.deepEqual([taken, returned], [1999n, 1999n]);
  });
});

describe("checkout: while a service is unavailable", () => {
  let app: TestCheckout;
  before(async () => {
    app = await openTestCheckout();
  });
  const begun = async (fault: StepFault, until: string) => {
    let failing = true;
    app.fault = (method) => (method === until && failing ? fault : undefined);
    const cart = await app.cart();
    const { outcome } = await app.checkout.placeOrder({ cart }, shopper(`late ${cart}`, { timeoutMs: 8_000 }));
    assert.ok(outcome.case === "checkout");
    assert.equal(outcome.value.status, CheckoutStatus.RUNNING);
    return { cart, id: outcome.value.id, recover: () => (failing = false) };
  };

  it("CART-03: it goes on by itself: RUNNING, then PLACED with the order, which a repeat gets as well", async () => {
    const { cart, id, recover } = await begun("unavailable", "orders.createOrder");
    assert.deepEqual((await app.checkout.getCheckout({ checkout: id }, shopper())).status, CheckoutStatus.RUNNING);
    const again = app.checkout.placeOrder({ cart }, shopper(`late ${cart}`));
    const waiting = app.checkout.getCheckout({ checkout: id, wait: { forMs: 10_000 } }, shopper());
    recover();
    await app.settle();
    const checkout = await app.checkout.getCheckout({ checkout: id }, shopper());
    assert.deepEqual(await waiting, checkout, "one who waits gets it when it has ended");
    assert.deepEqual(await app.checkout.getCheckout({ checkout: id, wait: { forMs: 10_000 } }, shopper()), checkout);
    assert.equal(checkout.status, CheckoutStatus.PLACED);
    assert.deepEqual(orderOf(await again), checkout.order);
    assert.deepEqual(await app.orders.getOrder({ order: checkout.order!.id }, shopper()), checkout.order);
  });

  it("RES-06: while inventory is unavailable nothing is ordered, and with the same key it is afterwards", async () => {
    let failing = true;
    app.fault = (method) => (method.startsWith("inventory.") && failing ? "unavailable" : undefined);
    const cart = await app.cart();
    const place = () => app.checkout.placeOrder({ cart }, shopper(`away ${cart}`, { timeoutMs: 20_000 }));
    await assert.rejects(place(), { reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    failing = false;
    await app.settle();
    const { outcome } = await place();
    assert.equal(outcome.case, "order");
    const { strays } = await app.facts();
    assert.deepEqual(strays, []);
  });

  it("or REFUSED with the problem", async () => {
    const { cart, id, recover } = await begun("unavailable", "payments.openPayment");
    let refused = true;
    recover();
    app.fault = (method) => (method === "payments.openPayment" && refused ? "refused" : undefined);
    await app.settle();
    refused = false;
    const checkout = await app.checkout.getCheckout({ checkout: id }, shopper());
    assert.deepEqual([checkout.status, checkout.problem?.reason, checkout.order], [CheckoutStatus.REFUSED, "CART_EMPTY", undefined]);
    assert.equal((await app.place({ cart }, shopper("anew"))).status, OrderStatus.PENDING);
  });

  it("ID-14: another user does not find it; support and admin do", async () => {
    const { id, recover } = await begun("lost", "orders.createOrder");
    recover();
    await app.settle();
    await assert.rejects(app.checkout.getCheckout({ checkout: id }, shopper(undefined, { id: "usr_other" })), {
      reason: "NOT_FOUND",
      code: "not_found",
    });
    await assert.rejects(app.checkout.getCheckout({ checkout: "chk_none" }, shopper()), { reason: "NOT_FOUND" });
    for (const role of ["admin", "support"])
      assert.equal(
        (await app.checkout.getCheckout({ checkout: id }, testCall({ user: { id: "usr_staff", roles: [role] } }))).status,
        CheckoutStatus.PLACED,
      );
  });
});
