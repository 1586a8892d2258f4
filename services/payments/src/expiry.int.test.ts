import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openTestPayments } from "./open-test-payments.ts";

const hourMs = 3_600_000;

describe("payments: their deadline", () => {
  it("R4: nobody begins to pay past it, or goes on; what was begun before and is paid counts", async () => {
    const app = await openTestPayments();
    const expiresAt = timestampFromDate(new Date(app.clock.now().getTime() + hourMs));
    const open = (id: string) =>
      app.client.openPayment(
        {
          payment: id,
          order: `ord_${id}`,
          customer: "usr_test",
          secret: `pp_${id}`,
          amount: { currency: "EUR", amount: "1.00" },
          expiresAt,
        },
        testCall(),
      );
    const attempt = (payment: string) => app.client.createAttempt({ payment }, testCall({ user: {} }));
    assert.deepEqual((await open("pay_begun")).expiresAt, expiresAt);
    await open("pay_late");
    app.clock.advance(hourMs - 1);
    const begun = await attempt("pay_begun");
    app.clock.advance(1);
    for (const payment of ["pay_begun", "pay_late"])
      await assert.rejects(attempt(payment), {
        reason: "PAYMENT_STATE",
        code: "failed_precondition",
        details: { status: "OPEN", expiresAt: app.clock.now().toISOString() },
      });
    app.provider.pay(begun.id);
    await app.webhook(begun.id);
    assert.equal((await app.read("pay_begun")).status, PaymentStatus.CAPTURED);
    assert.equal((await app.client.closePayment({ payment: "pay_late" }, testCall())).status, PaymentStatus.CLOSED);
  });

  it("without one it ends with its order alone", async () => {
    const app = await openTestPayments();
    const { id, expiresAt } = await app.open();
    app.clock.advance(48 * hourMs);
    assert.equal(expiresAt, undefined);
    assert.ok((await app.client.createAttempt({ payment: id }, testCall({ user: {} }))).url);
  });
});
