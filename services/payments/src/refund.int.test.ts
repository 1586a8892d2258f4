import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { AttemptStatus, PaymentStatus, RefundStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, openTestPayments } from "./open-test-payments.ts";
import type { TestPayments } from "./open-test-payments.ts";

const shopper = () => testCall({ user: {} });
const keyed = (idempotencyKey: string) => testCall({ user: { id: "usr_admin", roles: ["admin"] }, idempotencyKey });
const eur = (amount: string) => ({ currency: "EUR", amount });

async function paid(app: TestPayments, amount?: string): Promise<string> {
  const { payment, attempt } = await app.attempted(amount);
  app.provider.pay(attempt);
  await app.client.completePayment({ payment }, shopper());
  return payment;
}

describe("payments: refunds", () => {
  let app: TestPayments;
  before(async () => {
    app = await openTestPayments();
  });

  it("PAY-04: part of it, then the rest; never more than was captured", async () => {
    const payment = await paid(app);
    const part = await app.client.createRefund({ payment, amount: eur("5.00") }, admin());
    assert.deepEqual([part.status, part.amount?.amount, part.payment], [RefundStatus.REFUND_PENDING, "5.00", payment]);
    await assert.rejects(app.client.createRefund({ payment, amount: eur("15.00") }, admin()), {
      reason: "REFUND_TOO_LARGE",
      details: { refundable: { currency: "EUR", amount: "14.99" } },
    });
    await app.settle();
    const between = await app.read(payment);
    assert.deepEqual(
      [between.status, between.refunded?.amount, between.refunds[0]?.status],
      [PaymentStatus.CAPTURED, "5.00", RefundStatus.REFUND_DONE],
    );
    const rest = await app.client.createRefund({ payment }, admin());
    assert.equal(rest.amount?.amount, "14.99");
    await app.settle();
    const after = await app.read(payment);
    assert.deepEqual([after.status, after.captured?.amount, after.refunded?.amount], [PaymentStatus.REFUNDED, "19.99", "19.99"]);
    await assert.rejects(app.client.createRefund({ payment, amount: eur("0.01") }, admin()), { reason: "PAYMENT_STATE" });
    assert.deepEqual((await app.events(payment)).slice(3), ["refund.started", "payment.refunded", "refund.started", "payment.refunded"]);
  });

  it("PAY-04: refunds of the same payment at the same time stay within it", async () => {
    const payment = await paid(app);
    const before = app.provider.ledger().returned;
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, () => app.client.createRefund({ payment, amount: eur("5.00") }, admin())),
    );
    assert.equal(results.filter(({ status }) => status === "fulfilled").length, 3);
    await app.settle();
    assert.equal((await app.read(payment)).refunded?.amount, "15.00");
    assert.equal(app.provider.ledger().returned - before, 1500n);
  });

  it("PAY-04: a repeated key is one refund with one response; with another amount it is refused", async () => {
    const payment = await paid(app);
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => app.client.createRefund({ payment, amount: eur("1.00") }, keyed("refund-1"))),
    );
    assert.equal(new Set(answers.map(({ id }) => id)).size, 1);
    await app.settle();
    assert.deepEqual(await app.client.createRefund({ payment, amount: eur("1.00") }, keyed("refund-1")), answers[0]);
    await assert.rejects(app.client.createRefund({ payment, amount: eur("2.00") }, keyed("refund-1")), {
      reason: "IDEMPOTENCY_KEY_REUSED",
    });
    assert.equal((await app.read(payment)).refunded?.amount, "1.00");
  });

  it("API-05: refuses a refund in another currency, of nothing, and of what was never paid", async () => {
    const payment = await paid(app);
    await assert.rejects(app.client.createRefund({ payment, amount: { currency: "USD", amount: "1.00" } }, admin()), {
      reason: "INVALID_REQUEST",
      code: "invalid_argument",
    });
    await assert.rejects(app.client.createRefund({ payment, amount: eur("0.00") }, admin()), {
      reason: "INVALID_REQUEST",
      code: "invalid_argument",
      message: "amount.amount must be above zero",
    });
    const { id } = await app.open();
    await assert.rejects(app.client.createRefund({ payment: id }, admin()), { reason: "PAYMENT_STATE" });
    await assert.rejects(app.client.refundPayment({ payment: id }, testCall()), { reason: "PAYMENT_STATE" });
    await assert.rejects(app.client.createRefund({ payment: "pay_none" }, admin()), { reason: "NOT_FOUND" });
  });

  it("PAY-04 R7: the money is returned once although responses are lost", async () => {
    const payment = await paid(app);
    const before = app.provider.ledger().returned;
    app.provider.fault = (operation) => (operation === "refund" ? "lost" : undefined);
    await assert.rejects(app.client.refundPayment({ payment }, testCall()), { reason: "DEPENDENCY_UNAVAILABLE" });
    await assert.rejects(app.client.refundPayment({ payment }, testCall()), { reason: "DEPENDENCY_UNAVAILABLE" });
    app.provider.fault = () => undefined;
    const results = await Promise.all(Array.from({ length: 4 }, () => app.client.refundPayment({ payment }, testCall())));
    for (const { status } of results) assert.equal(status, PaymentStatus.REFUNDED);
    await app.settle();
    const after = await app.read(payment);
    assert.equal(after.refunds.length, 1);
    assert.equal(app.provider.ledger().returned - before, 1999n);
    assert.deepEqual((await app.events(payment)).slice(3), ["refund.started", "payment.refunded"]);
  });

  it("PAY-04: everything is refunded although some of it was refunded before, or is being refunded", async () => {
    const payment = await paid(app);
    await app.client.createRefund({ payment, amount: eur("5.00") }, admin());
    await app.settle();
    app.provider.fault = (operation) => (operation === "refund" ? "unavailable" : undefined);
    await app.client.createRefund({ payment, amount: eur("3.00") }, admin());
    await app.settle();
    app.provider.fault = () => undefined;
    const after = await app.client.refundPayment({ payment }, testCall());
    assert.deepEqual([after.status, after.refunded?.amount], [PaymentStatus.REFUNDED, "19.99"]);
    assert.deepEqual(
      after.refunds.map(({ amount, status }) => [amount?.amount, status]),
      ["5.00", "3.00", "11.99"].map((amount) => [amount, RefundStatus.REFUND_DONE]),
    );
  });

  it("a payment of nothing is captured when it is opened, takes no attempt, and needs no refund", async () => {
    app.provider.operations.length = 0;
    const { id: payment, status } = await app.open("0.00");
    assert.equal(status, PaymentStatus.CAPTURED);
    await assert.rejects(app.client.createAttempt({ payment }, shopper()), { reason: "PAYMENT_STATE" });
    assert.equal((await app.client.refundPayment({ payment }, testCall())).status, PaymentStatus.CAPTURED);
    assert.deepEqual(app.provider.operations, []);
  });
});

describe("payments: closing", () => {
  let app: TestPayments;
  before(async () => {
    app = await openTestPayments();
  });

  it("closes at the provider first: what was paid before stays paid, what was not can never be", async () => {
    const unpaid = await app.attempted();
    assert.equal((await app.client.closePayment({ payment: unpaid.payment }, testCall())).status, PaymentStatus.CLOSED);
    assert.equal(app.provider.pay(unpaid.attempt), false);
    assert.equal((await app.read(unpaid.payment)).attempts[0]?.status, AttemptStatus.ABANDONED);
    await assert.rejects(app.client.createAttempt({ payment: unpaid.payment }, shopper()), {
      reason: "PAYMENT_STATE",
      details: { status: "CLOSED" },
    });

    const before = await app.attempted();
    app.provider.pay(before.attempt);
    assert.equal((await app.client.closePayment({ payment: before.payment }, testCall())).status, PaymentStatus.CAPTURED);
    assert.equal((await app.client.closePayment({ payment: before.payment }, testCall())).status, PaymentStatus.CAPTURED);

    const never = await app.open();
    assert.equal((await app.client.closePayment({ payment: never.id }, testCall())).status, PaymentStatus.CLOSED);
    assert.deepEqual(await app.events(never.id), ["payment.opened", "payment.closed"]);
  });

  it("closes although responses are lost, once they come", async () => {
    const { payment } = await app.attempted();
    app.provider.fault = (operation) => (operation === "close" ? "lost" : undefined);
    await assert.rejects(app.client.closePayment({ payment }, testCall()), { reason: "DEPENDENCY_UNAVAILABLE" });
    assert.equal((await app.read(payment)).status, PaymentStatus.OPEN);
    app.provider.fault = () => undefined;
    assert.equal((await app.client.closePayment({ payment }, testCall())).status, PaymentStatus.CLOSED);
  });

  it("a payment closed before it was opened can never be opened, and repeating that changes nothing", async () => {
    const payment = "pay_never";
    for (let time = 0; time < 3; time++)
      assert.deepEqual([(await app.client.closePayment({ payment }, testCall())).status, time], [PaymentStatus.CLOSED, time]);
    const request = { payment, order: "ord_never", customer: "usr_test", secret: "pp_never", amount: eur("1.00") };
    await assert.rejects(app.client.openPayment(request, testCall()), { reason: "PAYMENT_STATE", details: { status: "CLOSED" } });
    await assert.rejects(app.read(payment), { reason: "NOT_FOUND" });
    assert.deepEqual(await app.events(payment), [], "a payment that was never opened has no events");
  });

  it("opening again gives the existing payment; opening against closing leaves one of both", async () => {
    const request = (nth: number) => ({
      payment: `pay_race_${nth}`,
      order: `ord_race_${nth}`,
      customer: "usr_test",
      secret: `pp_race_${nth}`,
      amount: eur("1.00"),
    });
    const opened = await Promise.all(Array.from({ length: 10 }, () => app.client.openPayment(request(0), testCall())));
    for (const one of opened) assert.deepEqual(one, opened[0]);
    for (let nth = 1; nth <= 30; nth++) {
      const { payment } = request(nth);
      const [open, closed] = await Promise.allSettled([
        app.client.openPayment(request(nth), testCall()),
        app.client.closePayment({ payment }, testCall()),
      ]);
      assert.equal(closed.status === "fulfilled" && closed.value.status, PaymentStatus.CLOSED);
      const expected = open.status === "fulfilled" ? ["payment.opened", "payment.closed"] : [];
      assert.deepEqual(await app.events(payment), expected);
    }
  });

  it("R6 I3: paying against closing: captured or closed, never both, and the provider has the money that the payment says", async () => {
    const runs = Array.from({ length: Number(process.env["KONTOR_CLOSE_RACES"] ?? 60) }, (_, nth) => nth);
    const random = (nth: number) => ((nth * 7919) % 13) / 13;
    const ends = new Map<PaymentStatus, number>();
    for (const nth of runs) {
      const { payment, attempt } = await app.attempted();
      const before = app.provider.ledger();
      app.provider.fault = (operation) =>
        operation !== "refund" && random(nth + app.provider.operations.length) < 0.2 ? "lost" : undefined;
      const closing = app.client.closePayment({ payment }, testCall());
      const pay = async (turns: number) => {
        for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
        if (turns === 7) await closing;
        if (app.provider.pay(attempt)) await app.webhook(attempt);
      };
      await Promise.allSettled([
        pay(nth % 8),
        closing,
        app.client.createAttempt({ payment }, shopper()),
        app.client.completePayment({ payment }, shopper()),
      ]);
      app.provider.fault = () => undefined;
      const { status } = await app.client.closePayment({ payment }, testCall());
      ends.set(status, (ends.get(status) ?? 0) + 1);
      const after = app.provider.ledger();
      assert.equal(after.taken - before.taken, status === PaymentStatus.CAPTURED ? 1999n : 0n);
      const types = await app.events(payment);
      assert.equal(types.filter((type) => type === "payment.captured" || type === "payment.closed").length, 1, types.join());
    }
    assert.ok(ends.has(PaymentStatus.CAPTURED) && ends.has(PaymentStatus.CLOSED), "both happen");
  });
});

describe("payments: the shopper's pages", () => {
  let app: TestPayments;
  before(async () => {
    app = await openTestPayments();
  });
  const secretOf = (payment: string) => payment.replace("pay", "pp");
  const finish = async (payment: string) => {
    const page = await app.client.finishPaymentPage({ secret: secretOf(payment) }, testCall());
    assert.equal(page.contentType, "text/html; charset=utf-8");
    return Buffer.from(page.body).toString();
  };

  it("payment.url leads to the provider's page, the same one while the attempt lasts, and back", async () => {
    const { id: payment } = await app.open();
    const { url } = await app.client.openPaymentPage({ secret: secretOf(payment) }, testCall());
    const { attempts } = await app.read(payment);
    assert.equal(url, `https://provider.test/${attempts[0]?.id}`);
    assert.equal((await app.client.openPaymentPage({ secret: secretOf(payment) }, testCall())).url, url);
    assert.match(await finish(payment), /Not paid yet/);
    app.provider.decline(attempts[0]!.id);
    assert.match(await finish(payment), /declined.*Try again/s);
    const next = await app.client.openPaymentPage({ secret: secretOf(payment) }, testCall());
    assert.notEqual(next.url, url);
    app.provider.pay((await app.read(payment)).attempts[1]!.id);
    assert.match(await finish(payment), /Thank you, it is paid/);
    const done = { url: `http://shop.test/pay/${secretOf(payment)}/done` };
    assert.equal((await app.client.openPaymentPage({ secret: secretOf(payment) }, testCall())).url, done.url);
  });

  it("a closed payment leads to the page that says so, also when it is closed meanwhile", async () => {
    const { payment } = await app.attempted();
    const [, opened] = await Promise.all([
      app.client.closePayment({ payment }, testCall()),
      app.client.openPaymentPage({ secret: secretOf(payment) }, testCall()),
    ]);
    assert.match(opened.url, /^(http:\/\/shop\.test\/pay\/.*\/done|https:\/\/provider\.test\/.*)$/);
    await app.client.closePayment({ payment }, testCall());
    assert.match((await app.client.openPaymentPage({ secret: secretOf(payment) }, testCall())).url, /\/done$/);
    assert.match(await finish(payment), /can no longer be paid/);
  });

  it("a shopper who comes back while the provider is unavailable, or silent, sees a page all the same", async () => {
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    app.provider.fault = () => "unavailable";
    assert.match(await finish(payment), /Not paid yet/);
    app.provider.fault = () => "silent";
    const page = await app.client.finishPaymentPage({ secret: secretOf(payment) }, testCall({ timeoutMs: 400 }));
    assert.match(Buffer.from(page.body).toString(), /Not paid yet/);
    app.provider.fault = () => undefined;
    assert.match(await finish(payment), /Thank you/);
  });

  it("an invented address is not found", async () => {
    for (const secret of ["", "pp_made_up", "' or 1=1 --"]) {
      await assert.rejects(app.client.openPaymentPage({ secret }, testCall()), { reason: "NOT_FOUND" });
      await assert.rejects(app.client.finishPaymentPage({ secret }, testCall()), { reason: "NOT_FOUND" });
    }
  });

  it("SEC-06: no secret of a page is in events or tasks", async () => {
    const { database } = app.services.get("payments")!;
    const rows = await database.rows<{ data: Uint8Array }>(sql`select data from events union all select payload from tasks`);
    assert.ok(rows.length > 0);
    for (const { data } of rows) assert.ok(!Buffer.from(data).includes("pp_"));
  });
});
