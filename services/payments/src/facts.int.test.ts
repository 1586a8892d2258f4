import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { paymentFacts } from "./facts.ts";
import { admin, openTestPayments } from "./open-test-payments.ts";

describe("payments: facts", () => {
  it("say what is stored of payments, their attempts and refunds, and what has a task", async () => {
    const app = await openTestPayments();
    const facts = paymentFacts.from(app.services.get("payments")!.database);
    const { payment, attempt } = await app.attempted();
    assert.deepEqual([...(await facts.toBeDone("check", [attempt, "att_none"]))], [attempt]);
    app.provider.pay(attempt);
    await app.client.completePayment({ payment }, testCall({ user: {} }));
    const refund = await app.client.createRefund({ payment, amount: { currency: "EUR", amount: "5.00" } }, admin());
    await app.settle();
    const [fact] = await facts.payments("", 10);
    assert.deepEqual(
      { ...fact, attempts: fact?.attempts.map(({ id, status, provider }) => ({ id, status, provider })) },
      {
        id: payment,
        order: "ord_1",
        status: "CAPTURED",
        currency: "EUR",
        amountMinor: 1999n,
        capturedMinor: 1999n,
        refundedMinor: 500n,
        attempts: [{ id: attempt, status: "SUCCEEDED", provider: app.provider.name }],
        refunds: [{ id: refund.id, status: "REFUND_DONE", amountMinor: 500n }],
      },
    );
    assert.deepEqual(await facts.payments(payment, 10), []);
    assert.deepEqual(await facts.paymentsByIds([payment, payment, "pay_none"]), [fact]);
    assert.deepEqual(await facts.captured(["ord_1", "ord_none"]), [{ id: payment, order: "ord_1" }]);
    assert.equal((await facts.toBeDone("refund", [refund.id])).size, 0);
    assert.equal((await facts.toBeDone("return", [attempt])).size, 0);
  });
});
