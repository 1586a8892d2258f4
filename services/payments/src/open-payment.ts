import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { OpenPaymentRequest } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { PaymentNeeds } from "./needs.ts";
import type { PaymentRecord } from "./payment.ts";

/**
 * Makes the record that an order is paid through, with its event. The caller chooses the id: a repeat gets the payment that is there. Refuses with
 * PAYMENT_STATE when it was closed before it came.
 */
export const openPayment =
  ({ payments, clock }: Pick<PaymentNeeds, "payments" | "clock">) =>
  async (request: OpenPaymentRequest, call: Call): Promise<PaymentRecord> => {
    const at = clock.now();
    const { currency, minor } = moneyFrom(request.amount!);
    const payment = await payments.open(
      {
        id: request.payment,
        version: 1,
        order: request.order,
        customer: request.customer,
        status: "OPEN",
        currency,
        amount: minor,
        captured: 0n,
        refunded: 0n,
        secret: request.secret,
        expiresAt: request.expiresAt === undefined ? null : timestampDate(request.expiresAt),
        attempts: [],
        refunds: [],
        createdAt: at,
        updatedAt: at,
      },
      call,
    );
    if (payment !== "VOID") return payment;
    throw refuse({
      reason: "PAYMENT_STATE",
      code: "failed_precondition",
      message: "The payment was closed before it was opened",
      details: { status: "CLOSED" },
    });
  };
