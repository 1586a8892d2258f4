import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  AttemptSchema,
  AttemptStatus,
  PaymentSchema,
  PaymentsService,
  PaymentStatus,
} from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Attempt, Payment } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { outcomeUnknown, refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { keyed } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import { completePayment, createAttempt, recordSession } from "./attempt.ts";
import { closePayment } from "./close-payment.ts";
import type { PaymentNeeds } from "./needs.ts";
import { openPayment } from "./open-payment.ts";
import { resultPage } from "./page.ts";
import { refundMessage } from "./payment.ts";
import type { AttemptRecord, PaymentRecord } from "./payment.ts";
import { readPayment, readPaymentBySecret } from "./payment-store.ts";
import { beginRefund, refundPayment } from "./refund.ts";

export function paymentsRoute(needs: PaymentNeeds): Route {
  const { database, config, provider } = needs;
  const open = openPayment(needs);
  const attempt = createAttempt(needs);
  const complete = completePayment(needs);
  const close = closePayment(needs);
  const refundAll = refundPayment(needs);
  const reply = (payment: PaymentRecord): Payment => paymentMessage(payment, config.publicUrl);

  /** A shopper who comes back while the provider does not answer sees a page all the same. */
  const completeIfTold = async (payment: PaymentRecord, call: Call): Promise<PaymentRecord> => {
    try {
      const soon = call.with({ deadlineMs: call.deadlineMs - Math.min(1_000, call.remainingMs() / 4) });
      return await complete(payment.id, soon);
    } catch (error) {
      if (!outcomeUnknown(error)) throw error;
      needs.log.warn({ call, error, payment: payment.id }, "the provider could not be asked for a shopper who came back");
      return payment;
    }
  };

  return implement(PaymentsService, {
    getPayment: async (request, call) => reply(await visiblePayment(needs, request.payment, call)),
    createAttempt: async (request, call) => attemptMessage(await attempt((await visiblePayment(needs, request.payment, call)).id, call)),
    completePayment: async (request, call) => reply(await complete((await visiblePayment(needs, request.payment, call)).id, call)),
    createRefund: keyed(async ({ payment, amount }, call, tx) => {
      const begun = await beginRefund(needs, tx, { payment, minor: await minorOf(amount, tx, payment) }, call);
      return refundMessage(begun.payment, begun.refund);
    }),
    receiveWebhook: async (request, call) => {
      if (request.provider !== provider.name)
        throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such provider" });
      const event = provider.receive(request.headers, request.body);
      // The history names the provider as the one who said so.
      if (event !== undefined) await recordSession(needs, event.payment, event.session, call.with({ caller: provider.name }));
      return {};
    },
    openPaymentPage: async ({ secret }, call) => {
      const payment = await readPaymentBySecret(database, secret);
      const done = { url: `${config.publicUrl}/pay/${secret}/done` };
      if (payment.status !== "OPEN") return done;
      try {
        return { url: (await attempt(payment.id, call)).url };
      } catch (error) {
        // Paid or closed while it was being opened: the page says which.
        if ((await readPayment(database, payment.id)).status !== "OPEN") return done;
        throw error;
      }
    },
    finishPaymentPage: async ({ secret }, call) => {
      const payment = await readPaymentBySecret(database, secret);
      return {
        contentType: "text/html; charset=utf-8",
        body: Buffer.from(resultPage(await completeIfTold(payment, call), config.shopName)),
      };
    },
    openPayment: async (request, call) => reply(await open(request, call)),
    closePayment: async (request, call) => {
      const payment = await close(request.payment, call);
      return payment === undefined ? { id: request.payment, status: PaymentStatus.CLOSED } : reply(payment);
    },
    refundPayment: async (request, call) => reply(await refundAll(request.payment, call)),
  });
}

/** A payment that the caller may see. To others it is not there. */
async function visiblePayment({ database }: PaymentNeeds, id: string, call: Call): Promise<PaymentRecord> {
  const payment = await readPayment(database, id);
  if (payment.customer !== call.signedIn().id && !call.hasRole("admin", "support"))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such payment" });
  return payment;
}

async function minorOf(
  amount: { currency: string; amount: string } | undefined,
  queries: Queries,
  id: string,
): Promise<bigint | undefined> {
  if (amount === undefined) return undefined;
  const money = moneyFrom(amount);
  const payment = await readPayment(queries, id);
  if (money.currency !== payment.currency) {
    const message = `must be ${payment.currency}, the payment's currency`;
    const fields = [{ field: "amount.currency", reason: "CURRENCY_MISMATCH", message }];
    throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: `amount.currency ${message}`, fields });
  }
  return money.minor;
}

function attemptMessage({
  id,
  status,
  provider,
  url,
  declineCode,
  createdAt,
  updatedAt,
}: AttemptRecord & { readonly url?: string }): Attempt {
  return create(AttemptSchema, {
    id,
    status: AttemptStatus[status],
    provider,
    declineCode,
    ...(url !== undefined && { url }),
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
  });
}

function paymentMessage(payment: PaymentRecord, publicUrl: string): Payment {
  const money = (minor: bigint) => moneyTo({ currency: payment.currency, minor });
  return create(PaymentSchema, {
    id: payment.id,
    version: payment.version,
    order: payment.order,
    customer: payment.customer,
    status: PaymentStatus[payment.status],
    amount: money(payment.amount),
    captured: money(payment.captured),
    refunded: money(payment.refunded),
    attempts: payment.attempts.map((attempt) => attemptMessage(attempt)),
    refunds: payment.refunds.map((refund) => refundMessage(payment, refund)),
    ...(payment.status === "OPEN" && { url: `${publicUrl}/pay/${payment.secret}` }),
    createdAt: timestampFromDate(payment.createdAt),
    updatedAt: timestampFromDate(payment.updatedAt),
  });
}
