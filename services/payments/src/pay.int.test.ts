import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { AttemptStatus, PaymentsService, PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, openTestPayments } from "./open-test-payments.ts";
import type { TestPayments } from "./open-test-payments.ts";
import type { Operation } from "./scripted-provider.ts";

const shopper = (timeoutMs = 10_000) => testCall({ user: {}, timeoutMs });
const seconds = 1_000;

describe("payments: paying", () => {
  let app: TestPayments;
  before(async () => {
    app = await openTestPayments();
  });

  it("PAY-01: each attempt is one record, of the order's amount", async () => {
    const { payment, attempt } = await app.attempted("42.50");
    const again = await app.client.createAttempt({ payment }, shopper());
    assert.equal(again.id, attempt, "a try that is under way is gone on with");
    assert.equal(again.url, `https://provider.test/${attempt}`);
    app.provider.decline(attempt);
    const next = await app.client.createAttempt({ payment }, shopper());
    assert.notEqual(next.id, attempt);
    app.provider.pay(next.id);
    const paid = await app.client.completePayment({ payment }, shopper());
    assert.deepEqual(
      paid.attempts.map(({ id, status, declineCode, url }) => ({ id, status, declineCode, url })),
      [
        { id: attempt, status: AttemptStatus.DECLINED, declineCode: "card_declined", url: undefined },
        { id: next.id, status: AttemptStatus.SUCCEEDED, declineCode: "", url: undefined },
      ],
    );
    assert.deepEqual([paid.amount?.amount, paid.captured?.amount, paid.amount?.currency], ["42.50", "42.50", "EUR"]);
  });

  it("PAY-01: two attempts at the same time are one", async () => {
    const { id } = await app.open();
    const attempts = await Promise.all(Array.from({ length: 10 }, () => app.client.createAttempt({ payment: id }, shopper())));
    assert.equal(new Set(attempts.map((attempt) => attempt.id)).size, 1);
    assert.equal((await app.read(id)).attempts.length, 1);
  });

  it("PAY-03: statuses and events agree, step by step", async () => {
    const { payment, attempt } = await app.attempted();
    assert.equal((await app.read(payment)).status, PaymentStatus.OPEN);
    assert.equal((await app.read(payment)).url, `http://shop.test/pay/${payment.replace("pay", "pp")}`);
    app.provider.decline(attempt, "insufficient_funds");
    await app.webhook(attempt);
    assert.equal((await app.read(payment)).attempts[0]?.declineCode, "insufficient_funds");
    const second = await app.client.createAttempt({ payment }, shopper());
    app.provider.pay(second.id);
    await app.webhook(second.id);
    const captured = await app.read(payment);
    assert.deepEqual([captured.status, captured.url], [PaymentStatus.CAPTURED, undefined]);
    const refunded = await app.client.refundPayment({ payment }, testCall());
    assert.equal(refunded.status, PaymentStatus.REFUNDED);
    assert.deepEqual(await app.events(payment), [
      "payment.opened",
      "attempt.started",
      "attempt.declined",
      "attempt.started",
      "payment.captured",
      "refund.started",
      "payment.refunded",
    ]);
    assert.equal(refunded.version, 7);
  });

  it("PAY-03: a read that waits gets the payment after its next change, at once when nothing is awaited", async () => {
    const wait = { forMs: 10_000 };
    const { payment, attempt } = await app.attempted();
    const paying = app.client.getPayment({ payment, wait: { ...wait, afterVersion: 2 } }, shopper());
    app.provider.pay(attempt);
    await app.webhook(attempt);
    const paid = await paying;
    assert.deepEqual([paid.version, paid.status], [3, PaymentStatus.CAPTURED]);
    assert.deepEqual(await app.client.getPayment({ payment, wait }, shopper()), paid);
    app.provider.fault = (operation) => (operation === "refund" ? "unavailable" : undefined);
    await app.client.createRefund({ payment }, admin());
    const refunding = app.client.getPayment({ payment, wait }, shopper());
    app.provider.fault = () => undefined;
    await app.client.refundPayment({ payment }, testCall());
    assert.equal((await refunding).status, PaymentStatus.REFUNDED);
    const { id } = await app.open();
    const closing = app.client.getPayment({ payment: id, wait }, shopper());
    await app.client.closePayment({ payment: id }, testCall());
    assert.equal((await closing).status, PaymentStatus.CLOSED);
  });

  it("MSG-13: events name who acted and when: the shopper, the provider", async () => {
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    await app.webhook(attempt);
    const { database } = app.services.get("payments")!;
    const rows = await database.rows<{ actor: string; at: Date }>(
      sql`select actor, at from events where stream = ${payment} order by version`,
    );
    assert.deepEqual(
      rows.map(({ actor }) => actor),
      ["test", "usr_test", "scripted"],
    );
    for (const { at } of rows) assert.deepEqual(at, app.clock.now());
  });

  it("PAY-06: a webhook that comes five times is one transition", async () => {
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    await Promise.all(Array.from({ length: 5 }, () => app.webhook(attempt)));
    await app.webhook(attempt);
    assert.deepEqual(await app.events(payment), ["payment.opened", "attempt.started", "payment.captured"]);
  });

  it("R6 PAY-06: complete, webhooks and the shopper's retry, in every order and with 0 to 5 webhooks, are one capture", async () => {
    const act: Record<string, (payment: string, attempt: string) => Promise<unknown>> = {
      complete: (payment) => app.client.completePayment({ payment }, shopper()),
      retry: (payment) => app.client.createAttempt({ payment }, shopper()),
      webhook: (_, attempt) => app.webhook(attempt),
    };
    // Of the many with four or five webhooks, one in so many.
    const every = Number(process.env["KONTOR_CAPTURE_ORDERS_EVERY"] ?? 5);
    const orders = [0, 1, 2, 3, 4, 5].flatMap((webhooks) => {
      const all = arrangements(["pay", "complete", "retry", ...Array<string>(webhooks).fill("webhook")]);
      return webhooks < 4 ? all : all.filter((_, nth) => nth % every === 0);
    });
    await inChunks(orders, 16, async (order) => {
      const { payment, attempt } = await app.attempted();
      for (const name of order)
        if (name === "pay") app.provider.pay(attempt);
        else await act[name]!(payment, attempt).catch(expectReason("PAYMENT_STATE"));
      const paid = await app.client.completePayment({ payment }, shopper());
      assert.equal(paid.status, PaymentStatus.CAPTURED, order.join());
      assert.equal(paid.captured?.amount, "19.99");
      assert.equal(paid.attempts.length, 1);
      assert.deepEqual(await app.events(payment), ["payment.opened", "attempt.started", "payment.captured"], order.join());
    });
  });

  it("R6 R7: all of it at once, while responses are lost and calls do not arrive: one capture, whatever is received", async () => {
    const random = seeded(7);
    app.provider.fault = () => (random() < 0.3 ? (random() < 0.5 ? "lost" : "unavailable") : undefined);
    const lenient = expectReason("PAYMENT_STATE", "DEPENDENCY_UNAVAILABLE");
    const runs = Array.from({ length: 60 }, (_, nth) => nth);
    await inChunks(runs, 10, async (nth) => {
      const { id: payment } = await app.open();
      let attempt: string | undefined;
      while (attempt === undefined) attempt = await app.client.createAttempt({ payment }, shopper()).then(({ id }) => id, lenient);
      await Promise.all([
        app.client.completePayment({ payment }, shopper()).catch(lenient),
        Promise.resolve(app.provider.pay(attempt)),
        app.client.completePayment({ payment }, shopper()).catch(lenient),
        app.client.createAttempt({ payment }, shopper()).catch(lenient),
        ...Array.from({ length: nth % 6 }, () => app.webhook(attempt)),
      ]);
      for (;;) {
        const paid = await app.client.completePayment({ payment }, shopper()).catch(lenient);
        if (paid !== undefined && paid.status === PaymentStatus.CAPTURED) break;
      }
      const started = (await app.events(payment)).filter((type) => type === "payment.captured");
      assert.equal(started.length, 1);
      assert.equal((await app.read(payment)).attempts.length, 1, "an answer that was lost makes no second try");
    });
    app.provider.fault = () => undefined;
  });

  it("R7: there is no other attempt while the outcome of the last one is unknown", async () => {
    for (const opensAs of ["open", "processing"] as const) {
      app.provider.opensAs = opensAs;
      const { id: payment } = await app.open();
      const first = app.client.createAttempt({ payment }, shopper());
      if (opensAs === "open") app.provider.hold((await first).id);
      else await assert.rejects(first, { reason: "ATTEMPT_UNKNOWN" });
      const [attempt] = (await app.read(payment)).attempts;
      app.provider.operations.length = 0;
      await assert.rejects(app.client.createAttempt({ payment }, shopper()), { reason: "ATTEMPT_UNKNOWN", code: "unavailable" });
      await assert.rejects(app.client.closePayment({ payment }, testCall()), { reason: "ATTEMPT_UNKNOWN" });
      assert.ok(app.provider.operations.length <= 2, "it is called once, not over and over");
      app.provider.opensAs = "open";
      app.provider.payLate(attempt!.id);
      assert.equal((await app.client.completePayment({ payment }, shopper())).status, PaymentStatus.CAPTURED);
      assert.equal((await app.read(payment)).attempts.length, 1);
    }
  });

  it("R7: an attempt whose opening was lost is opened again under its key", async () => {
    const { id: payment } = await app.open();
    app.provider.fault = (operation) => (operation === "open" ? "lost" : undefined);
    await assert.rejects(app.client.createAttempt({ payment }, shopper()), { reason: "DEPENDENCY_UNAVAILABLE" });
    app.provider.fault = () => undefined;
    const attempt = await app.client.createAttempt({ payment }, shopper());
    const { attempts } = await app.read(payment);
    assert.deepEqual(
      attempts.map(({ id, status }) => [id, status]),
      [[attempt.id, AttemptStatus.WAITING]],
    );
  });

  it("R7: an attempt whose webhook never comes is queried, ever more rarely, until its outcome is known", async () => {
    const own = await openTestPayments();
    const { payment, attempt } = await own.attempted();
    own.provider.hold(attempt);
    own.provider.operations.length = 0;
    await own.pass(19 * seconds);
    assert.equal(own.provider.operations.length, 0);
    for (const waitMs of [1, 20, 40, 80].map((wait) => wait * seconds)) await own.pass(waitMs);
    assert.equal(own.provider.operations.length, 4);
    own.provider.payLate(attempt);
    await own.pass(160 * seconds);
    assert.equal((await own.read(payment)).status, PaymentStatus.CAPTURED);
    await own.pass(24 * 3_600 * seconds);
    assert.equal(own.provider.operations.length, 5, "and then no more");
  });

  it("R7: while the provider is unavailable the check is repeated by itself", async () => {
    const own = await openTestPayments();
    const { payment, attempt } = await own.attempted();
    own.provider.pay(attempt);
    let failures = 3;
    own.provider.fault = () => (failures-- > 0 ? "unavailable" : undefined);
    await own.pass(20 * seconds);
    assert.equal((await own.read(payment)).status, PaymentStatus.OPEN);
    for (let passed = 0; passed < 30; passed++) await own.pass(seconds);
    assert.equal((await own.read(payment)).status, PaymentStatus.CAPTURED);
  });

  it("R6 I3: a declined attempt that succeeds after all counts, and the next one is closed; a second capture is returned", async () => {
    const own = await openTestPayments();
    const late = await own.attempted();
    own.provider.decline(late.attempt);
    const second = await own.client.createAttempt({ payment: late.payment }, shopper());
    own.provider.payLate(late.attempt);
    await own.webhook(late.attempt);
    assert.equal((await own.read(late.payment)).status, PaymentStatus.CAPTURED);
    await own.pass(20 * seconds);
    assert.equal((await own.read(late.payment)).attempts[1]?.status, AttemptStatus.ABANDONED);
    assert.equal(own.provider.pay(second.id), false, "its page takes no money any more");

    const twice = await own.attempted();
    own.provider.decline(twice.attempt);
    const other = await own.client.createAttempt({ payment: twice.payment }, shopper());
    own.provider.pay(other.id);
    own.provider.payLate(twice.attempt);
    await Promise.all([own.webhook(other.id), own.webhook(twice.attempt), own.webhook(twice.attempt)]);
    await own.settle();
    const payment = await own.read(twice.payment);
    assert.deepEqual([payment.status, payment.captured?.amount, payment.refunded?.amount], [PaymentStatus.CAPTURED, "19.99", "0.00"]);
    assert.deepEqual(
      payment.attempts.map(({ status }) => status).toSorted((a, b) => a - b),
      [AttemptStatus.SUCCEEDED, AttemptStatus.RETURNED],
    );
    assert.equal((await own.events(twice.payment)).filter((type) => type === "attempt.returned").length, 1);
    assert.deepEqual(own.provider.ledger(), { charges: 3, taken: 5997n, returned: 1999n });
  });

  it("R6: a second capture is returned although the provider is unavailable, or its response is lost, or it refuses at first", async () => {
    const own = await openTestPayments();
    const { payment, attempt } = await own.attempted();
    own.provider.decline(attempt);
    await own.webhook(attempt);
    await own.client.closePayment({ payment }, testCall());
    own.provider.payLate(attempt);
    const faults: ("unavailable" | "lost" | undefined)[] = ["unavailable", "lost", "lost"];
    own.provider.fault = (operation) => (operation === "refund" ? faults.shift() : undefined);
    await own.webhook(attempt);
    for (let passed = 0; passed < 10; passed++) await own.pass(2 * seconds);
    assert.equal((await own.read(payment)).status, PaymentStatus.CLOSED);
    assert.deepEqual(own.provider.ledger(), { charges: 1, taken: 1999n, returned: 1999n });
  });

  it("a provider that takes no payment at all is called a few times, not for ever", async () => {
    for (const opensAs of ["declined", "closed"] as const) {
      const { id: payment } = await app.open();
      app.provider.opensAs = opensAs;
      await assert.rejects(app.client.createAttempt({ payment }, shopper()), { reason: "PROVIDER_REFUSED" });
      app.provider.opensAs = "open";
      assert.equal((await app.read(payment)).attempts.length, 3);
      assert.equal((await app.read(payment)).status, PaymentStatus.OPEN);
    }
  });

  it("R7: a silent provider costs the caller its deadline and nothing else", async () => {
    const { id: payment } = await app.open();
    const silent = new Set<Operation>(["open"]);
    app.provider.fault = (operation) => (silent.has(operation) ? "silent" : undefined);
    await assert.rejects(app.client.createAttempt({ payment }, shopper(60)), (error: { code?: string }) =>
      ["deadline_exceeded", "unavailable"].includes(error.code ?? ""),
    );
    app.provider.fault = () => undefined;
    const attempt = await app.client.createAttempt({ payment }, shopper());
    assert.equal((await app.read(payment)).attempts[0]?.id, attempt.id);
  });

  it("S14: a webhook without the provider's signature is refused and has no effect; another provider is not found", async () => {
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    const { headers, body } = app.provider.webhook(attempt);
    for (const forged of [{}, { signature: "other" }, { Signature: headers["signature"]! }])
      await assert.rejects(app.client.receiveWebhook({ provider: "scripted", headers: forged, body }, testCall()), {
        reason: "WEBHOOK_SIGNATURE",
        code: "unauthenticated",
      });
    await assert.rejects(app.client.receiveWebhook({ provider: "stripe", headers: { ...headers }, body }, testCall()), {
      reason: "NOT_FOUND",
      code: "not_found",
    });
    assert.equal((await app.read(payment)).status, PaymentStatus.OPEN);
    const foreign = Buffer.from(body.toString().replace(payment, "pay_of_another_account"));
    await assert.rejects(app.client.receiveWebhook({ provider: "scripted", headers: { ...headers }, body: foreign }, testCall()), {
      reason: "NOT_FOUND",
    });
  });

  it("a payment is its customer's: others do not find it, admin and support do", async () => {
    const { payment } = await app.attempted();
    const other = () => testCall({ user: { id: "usr_other" } });
    for (const ask of [
      () => app.client.getPayment({ payment }, other()),
      () => app.client.createAttempt({ payment }, other()),
      () => app.client.completePayment({ payment }, other()),
      () => app.client.getPayment({ payment: "pay_none" }, shopper()),
    ])
      await assert.rejects(ask(), { reason: "NOT_FOUND" });
    const edge = app.rpc.clientsFor("gateway").of("payments", PaymentsService);
    await assert.rejects(edge.getPayment({ payment }, testCall()), { reason: "UNAUTHENTICATED" });
    for (const method of ["openPayment", "closePayment", "refundPayment"] as const)
      await assert.rejects(
        edge[method]({ payment, order: "o", customer: "c", secret: "s", amount: { currency: "EUR", amount: "1.00" } }, admin()),
        { reason: "PERMISSION_DENIED" },
      );
    for (const role of ["admin", "support"])
      assert.equal((await app.client.getPayment({ payment }, testCall({ user: { id: "usr_staff", roles: [role] } }))).id, payment);
    await assert.rejects(app.client.createRefund({ payment }, shopper()), { reason: "PERMISSION_DENIED" });
    assert.equal((await app.client.getPayment({ payment }, admin())).id, payment);
  });
});

function expectReason(...reasons: readonly string[]) {
  return (error: unknown): undefined => {
    const { reason } = error as { reason?: string };
    if (reason === undefined || !reasons.includes(reason)) throw error;
    return undefined;
  };
}

/** All orders of these, each once: equal ones count as one. */
function arrangements(names: readonly string[]): string[][] {
  if (names.length === 0) return [[]];
  return [...new Set(names)].flatMap((first) => {
    const rest = names.toSpliced(names.indexOf(first), 1);
    return arrangements(rest).map((others) => [first, ...others]);
  });
}

async function inChunks<T>(items: readonly T[], size: number, work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += size) await Promise.all(items.slice(at, at + size).map(work));
}

function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}
