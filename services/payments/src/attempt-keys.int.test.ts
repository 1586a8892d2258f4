import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { AttemptStatus, PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openTestPayments } from "./open-test-payments.ts";
import type { TestPayments } from "./open-test-payments.ts";

const keyed = (idempotencyKey: string) => testCall({ user: {}, idempotencyKey });

describe("payments: the key of an attempt", () => {
  let app: TestPayments;
  before(async () => {
    app = await openTestPayments();
  });
  const attempts = async (payment: string) => (await app.read(payment)).attempts.map(({ id, status }) => [id, AttemptStatus[status]]);

  it("PAY-01: a key begins one attempt, whatever becomes of it; another key begins the next", async () => {
    const { id: payment } = await app.open();
    const attempt = (key: string) => app.client.createAttempt({ payment }, keyed(key));
    const both = await Promise.all([attempt("one"), attempt("one")]);
    const [{ id, url }] = both;
    assert.deepEqual([both[1], (await attempt("one")).url], [both[0], url]);
    app.provider.decline(id);
    await app.webhook(id);
    const declined = await attempt("one");
    assert.deepEqual([declined.id, declined.status, declined.url], [id, AttemptStatus.DECLINED, undefined]);
    const next = await attempt("two");
    assert.notEqual(next.id, id);
    app.provider.pay(next.id);
    await app.webhook(next.id);
    assert.deepEqual([(await attempt("two")).status, (await attempt("one")).status], [AttemptStatus.SUCCEEDED, AttemptStatus.DECLINED]);
    await assert.rejects(attempt("three"), { reason: "PAYMENT_STATE", details: { status: "CAPTURED" } });
    assert.deepEqual(await attempts(payment), [[id, "DECLINED"], [next.id, "SUCCEEDED"]]); // prettier-ignore
  });

  it("R7: a repeat that learns that its attempt is over begins no other", async () => {
    const { id: payment } = await app.open();
    const { id } = await app.client.createAttempt({ payment }, keyed("late"));
    app.provider.decline(id);
    const repeated = await app.client.createAttempt({ payment }, keyed("late"));
    assert.deepEqual([repeated.id, repeated.status], [id, AttemptStatus.DECLINED]);
    assert.equal((await attempts(payment)).length, 1);
  });

  it("R7: one whose opening was lost is opened by the repeat", async () => {
    const { id: payment } = await app.open();
    app.provider.fault = (operation) => (operation === "open" ? "lost" : undefined);
    await assert.rejects(app.client.createAttempt({ payment }, keyed("lost")), { reason: "DEPENDENCY_UNAVAILABLE" });
    app.provider.fault = () => undefined;
    const { id, url } = await app.client.createAttempt({ payment }, keyed("lost"));
    assert.deepEqual([await attempts(payment), url], [[[id, "WAITING"]], `https://provider.test/${id}`]);
  });

  it("another payment has keys of its own, and no answer shows them", async () => {
    const payments = [await app.open(), await app.open()];
    for (const { id: payment } of payments) await app.client.createAttempt({ payment }, keyed("same"));
    for (const { id } of payments) {
      assert.equal((await attempts(id)).length, 1);
      assert.equal((await app.client.closePayment({ payment: id }, testCall())).status, PaymentStatus.CLOSED);
    }
  });
});
