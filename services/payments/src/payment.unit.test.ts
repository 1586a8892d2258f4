import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Refusal } from "@kontor/platform/errors/refusal.ts";
import fc from "fast-check";
import { close, endRefund, applySession, isLive, liveAttempt, refundable, startAttempt, startRefund } from "./payment.ts";
import type { Decision, PaymentRecord } from "./payment.ts";
import type { Session, SessionStatus } from "./provider.ts";
import { resultPage } from "./page.ts";

const at = new Date("2026-03-02T09:00:00Z");
const open: PaymentRecord = {
  id: "pay_1",
  version: 1,
  order: "ord_1",
  customer: "usr_1",
  status: "OPEN",
  currency: "EUR",
  amount: 1999n,
  captured: 0n,
  refunded: 0n,
  secret: "pp_1",
  expiresAt: null,
  attempts: [],
  refunds: [],
  createdAt: at,
  updatedAt: at,
};
const session = (key: string, status: SessionStatus, change: Partial<Session> = {}): Session => ({
  key,
  status,
  url: `https://provider.test/${key}`,
  amount: { currency: "EUR", minor: 1999n },
  declineCode: status === "declined" ? "card_declined" : "",
  ...change,
});
const begun = (payment: PaymentRecord, id: string) => startAttempt(payment, { id, provider: "scripted", at }).payment;
const after = (payment: PaymentRecord, decision: Decision | undefined): PaymentRecord => decision?.payment ?? payment;
const applied = (payment: PaymentRecord, key: string, status: SessionStatus) =>
  after(payment, applySession(payment, session(key, status), at));
const names = (decision: Decision | undefined) => decision?.events.map(({ $typeName }) => $typeName.split(".").at(-1));
const statusOf = (payment: PaymentRecord, id: string) => payment.attempts.find((attempt) => attempt.id === id)?.status;
const refused = (reason: string) => (error: unknown) => error instanceof Refusal && error.reason === reason;

describe("payment", () => {
  it("PAY-01: an attempt is a record of its own, and captures the payment's whole amount", () => {
    const waiting = begun(open, "att_1");
    assert.equal(statusOf(waiting, "att_1"), "WAITING");
    assert.equal(applySession(waiting, session("att_1", "open"), at), undefined);
    const decision = applySession(waiting, session("att_1", "succeeded"), at);
    assert.deepEqual(names(decision), ["PaymentCaptured"]);
    assert.deepEqual(
      [decision?.payment.status, decision?.payment.captured, statusOf(decision!.payment, "att_1")],
      ["CAPTURED", 1999n, "SUCCEEDED"],
    );
  });

  it("PAY-06: what is known already changes nothing", () => {
    const captured = applied(begun(open, "att_1"), "att_1", "succeeded");
    for (const status of ["succeeded", "open", "processing", "declined", "closed"] as const)
      assert.equal(applySession(captured, session("att_1", status), at), undefined);
    const declined = applied(begun(open, "att_1"), "att_1", "declined");
    for (const status of ["open", "processing", "declined", "closed"] as const)
      assert.equal(applySession(declined, session("att_1", status), at), undefined);
  });

  it("R7: a declined attempt that succeeds after all captures the payment while it is open", () => {
    const declined = applied(begun(open, "att_1"), "att_1", "declined");
    assert.equal(declined.status, "OPEN");
    assert.equal(applied(declined, "att_1", "succeeded").status, "CAPTURED");
  });

  it("R6: a second success is returned, also one that comes after the payment was closed", () => {
    const first = applied(begun(open, "att_1"), "att_1", "declined");
    const captured = applied(applied(begun(first, "att_2"), "att_2", "succeeded"), "att_2", "succeeded");
    const second = applySession(captured, session("att_1", "succeeded"), at);
    assert.deepEqual([names(second), second?.giveBack, second?.payment.captured], [["AttemptReturned"], "att_1", 1999n]);
    assert.equal(applySession(second!.payment, session("att_1", "succeeded"), at), undefined, "once only");

    const closed = after(first, close(first));
    const late = applySession(closed, session("att_1", "succeeded"), at);
    assert.deepEqual([late?.payment.status, late?.giveBack], ["CLOSED", "att_1"]);
  });

  it("refuses a success of another amount, and a session of an attempt that is not its own", () => {
    const waiting = begun(open, "att_1");
    assert.throws(
      () => applySession(waiting, session("att_1", "succeeded", { amount: { currency: "EUR", minor: 1n } }), at),
      /another amount/,
    );
    assert.throws(
      () => applySession(waiting, session("att_1", "succeeded", { amount: { currency: "USD", minor: 1999n } }), at),
      /another amount/,
    );
    assert.throws(() => applySession(waiting, session("att_9", "succeeded"), at), /no attempt att_9/);
  });

  it("takes attempts while it is open only", () => {
    const closed = after(open, close(open));
    assert.throws(() => begun(closed, "att_1"), refused("PAYMENT_STATE"));
    assert.equal(close(closed), undefined);
    assert.throws(() => begun(applied(begun(open, "att_1"), "att_1", "succeeded"), "att_2"), refused("PAYMENT_STATE"));
  });

  it("PAY-04: refunds are bounded by what was captured and is neither refunded nor being refunded", () => {
    const captured = applied(begun(open, "att_1"), "att_1", "succeeded");
    assert.throws(() => startRefund(open, { id: "rfd_1", amount: 1n, at }), refused("PAYMENT_STATE"));
    for (const amount of [0n, -1n, 2000n])
      assert.throws(() => startRefund(captured, { id: "rfd_1", amount, at }), refused("REFUND_TOO_LARGE"));
    const part = startRefund(captured, { id: "rfd_1", amount: 1000n, at }).payment;
    assert.equal(refundable(part), 999n);
    assert.throws(() => startRefund(part, { id: "rfd_2", amount: 1000n, at }), refused("REFUND_TOO_LARGE"));
    const ended = endRefund(part, "rfd_1", "succeeded", at)!;
    assert.deepEqual([ended.payment.status, ended.payment.refunded], ["CAPTURED", 1000n]);
    assert.equal(endRefund(ended.payment, "rfd_1", "succeeded", at), undefined);
    const rest = endRefund(startRefund(ended.payment, { id: "rfd_2", amount: 999n, at }).payment, "rfd_2", "succeeded", at)!;
    assert.deepEqual([rest.payment.status, rest.payment.refunded], ["REFUNDED", 1999n]);
  });

  it("PAY-04: what the provider refused to refund can be tried again", () => {
    const captured = applied(begun(open, "att_1"), "att_1", "succeeded");
    const begunRefund = startRefund(captured, { id: "rfd_1", amount: 1999n, at }).payment;
    const failed = endRefund(begunRefund, "rfd_1", "failed", at)!;
    assert.deepEqual([names(failed), refundable(failed.payment), failed.payment.refunded], [["RefundFailed"], 1999n, 0n]);
  });

  it("I4 R6: whatever happens in whatever order, captures and refunds add up and one capture at most remains", () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant("attempt" as const) }),
      fc.record({
        kind: fc.constant("applySession" as const),
        nth: fc.nat({ max: 4 }),
        status: fc.constantFrom<SessionStatus>("open", "processing", "succeeded", "declined", "closed"),
      }),
      fc.record({ kind: fc.constant("close" as const) }),
      fc.record({ kind: fc.constant("refund" as const), amount: fc.bigInt({ min: 1n, max: 2500n }) }),
      fc.record({
        kind: fc.constant("refunded" as const),
        nth: fc.nat({ max: 4 }),
        outcome: fc.constantFrom("succeeded" as const, "failed" as const),
      }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
        let payment = open;
        const charged = new Set<string>();
        const returned = new Set<string>();
        let kept = 0;
        for (const [nth, one] of steps.entries()) {
          const before = payment;
          let decision: Decision | undefined;
          try {
            if (one.kind === "attempt") {
              if (liveAttempt(payment) === undefined) decision = startAttempt(payment, { id: `att_${nth}`, provider: "scripted", at });
            } else if (one.kind === "applySession") {
              const attempt = payment.attempts[one.nth];
              if (attempt !== undefined) {
                if (one.status === "succeeded") charged.add(attempt.id);
                decision = applySession(payment, session(attempt.id, one.status), at);
              }
            } else if (one.kind === "close") {
              if (liveAttempt(payment) === undefined) decision = close(payment);
            } else if (one.kind === "refund") decision = startRefund(payment, { id: `rfd_${nth}`, amount: one.amount, at });
            else if (payment.refunds[one.nth] !== undefined) decision = endRefund(payment, payment.refunds[one.nth]!.id, one.outcome, at);
          } catch (error) {
            assert.ok(error instanceof Refusal, String(error));
            continue;
          }
          if (decision === undefined) continue;
          payment = decision.payment;
          if (decision.giveBack !== undefined) returned.add(decision.giveBack);
          if (names(decision)!.includes("PaymentCaptured")) kept++;
          if (before.status === "CLOSED" || before.status === "REFUNDED") assert.equal(payment.status, before.status, "ends are ends");
        }
        assert.ok(kept <= 1);
        assert.equal(payment.captured, kept === 1 ? payment.amount : 0n);
        assert.equal(charged.size, kept + returned.size, "each charge is kept or goes back");
        assert.ok(payment.refunded >= 0n && payment.refunded <= payment.captured && refundable(payment) >= 0n);
        const done = payment.refunds.filter(({ status }) => status === "REFUND_DONE").reduce((sum, { amount }) => sum + amount, 0n);
        assert.equal(done, payment.refunded);
        assert.equal(payment.status === "REFUNDED", payment.captured > 0n && payment.refunded === payment.captured);
        assert.ok(payment.attempts.filter(isLive).length <= 1);
      }),
      { numRuns: 2_000 },
    );
  });

  it("S15: the page that a shopper comes back to escapes all that others have written", () => {
    const page = resultPage({ ...open, order: `ord_<script>"'&`, secret: `"><img src=x>` }, `<b onload="x">Shop & Söhne</b>`);
    assert.ok(!page.includes("<script>") && !page.includes("<img") && !page.includes("<b onload"));
    assert.ok(page.includes("&#60;b onload=&#34;x&#34;&#62;Shop &#38; Söhne&#60;/b&#62;"));
    assert.ok(page.includes("Order ord_&#60;script&#62;&#34;&#39;&#38; · 19.99 EUR"));
  });

  it("shows the status of the payment on that page, and declined only when it was", () => {
    const title = (payment: PaymentRecord) => /<title>(.*?)<\/title>/.exec(resultPage(payment, "Shop"))?.[1];
    assert.equal(title(open), "Not paid yet");
    assert.equal(title(applied(begun(open, "att_1"), "att_1", "open")), "Not paid yet");
    assert.equal(title(applied(begun(open, "att_1"), "att_1", "declined")), "The payment was declined");
    assert.equal(title({ ...open, status: "CAPTURED" }), "Thank you, it is paid");
    assert.equal(title({ ...open, status: "CLOSED" }), "This order can no longer be paid");
    assert.equal(title({ ...open, status: "REFUNDED" }), "The payment was refunded");
  });
});
