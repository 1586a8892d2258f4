import type { OpenPaymentRequest } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { sqlState } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { opened } from "./payment.ts";
import type { PaymentRecord } from "./payment.ts";
import { findPayment, insertPaymentSql } from "./payment-store.ts";

/**
 * Makes the record that an order is paid through, in one statement with its event. The caller chooses the id: a repeat gets the payment that is
 * there. Refuses with PAYMENT_STATE when it was closed before it came.
 */
export const openPayment =
  ({ database, events, clock }: Pick<ServiceContext, "database" | "events" | "clock">) =>
  async (request: OpenPaymentRequest, call: Call): Promise<PaymentRecord> => {
    const at = clock.now();
    const { currency, minor } = moneyFrom(request.amount!);
    const payment: PaymentRecord = {
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
      attempts: [],
      refunds: [],
      createdAt: at,
      updatedAt: at,
    };
    try {
      await database.run(
        sql`with made as (${insertPaymentSql(payment)}),
          recorded as (${events.appendSql(call, [{ stream: payment.id, expectedVersion: 0, events: opened(payment).events }])})
          select 1 as made from made`,
      );
      events.wake();
      return payment;
    } catch (error) {
      // The id is taken, by the payment or by its tombstone: then no event is written either.
      if (sqlState(error) !== "23505") throw error;
    }
    const there = await findPayment(database, request.payment);
    if (there === "VOID" || there === undefined)
      throw refuse({
        reason: "PAYMENT_STATE",
        code: "failed_precondition",
        message: "The payment was closed before it was opened",
        details: { status: "CLOSED" },
      });
    return there;
  };
