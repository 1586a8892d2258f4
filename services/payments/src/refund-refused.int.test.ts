import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { PaymentStatus, RefundStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, openTestPayments } from "./open-test-payments.ts";

const eur = (amount: string) => ({ currency: "EUR", amount });

describe("payments: refunds that the provider refuses", () => {
  it("PAY-04: a refund of everything that the provider refuses is a fact: only an admin begins another; a part that was refused before is none", async () => {
    const app = await openTestPayments();
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    await app.webhook(attempt);
    app.provider.refusesRefunds = true;
    await app.client.createRefund({ payment, amount: eur("5.00") }, admin());
    await app.settle();
    await assert.rejects(app.client.refundPayment({ payment }, testCall()), { reason: "PROVIDER_REFUSED" });
    app.provider.refusesRefunds = false;
    await assert.rejects(app.client.refundPayment({ payment }, testCall()), { reason: "PROVIDER_REFUSED" });
    await app.client.createRefund({ payment }, admin());
    assert.equal((await app.client.refundPayment({ payment }, testCall())).status, PaymentStatus.REFUNDED);
    const { refunds } = await app.read(payment);
    assert.deepEqual(
      refunds.map(({ status, amount }) => [RefundStatus[status], amount?.amount]),
      [["REFUND_FAILED", "5.00"], ["REFUND_FAILED", "19.99"], ["REFUND_DONE", "19.99"]], // prettier-ignore
    );
  });

  it("PAY-04: of those who ask at the same time after it was refused, none begins one", async () => {
    const app = await openTestPayments();
    const { payment, attempt } = await app.attempted();
    app.provider.pay(attempt);
    await app.webhook(attempt);
    app.provider.refusesRefunds = true;
    const ask = () => Promise.allSettled(Array.from({ length: 5 }, () => app.client.refundPayment({ payment }, testCall())));
    const outcomes = [...(await ask()), ...(await ask())];
    assert.ok(outcomes.every((one) => one.status === "rejected" && (one.reason as { reason: string }).reason === "PROVIDER_REFUSED"));
    assert.deepEqual(
      (await app.read(payment)).refunds.map(({ status }) => RefundStatus[status]),
      ["REFUND_FAILED"],
    );
  });
});
