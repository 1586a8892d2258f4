import { create } from "@bufbuild/protobuf";
import { RefundWorkSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { RefundWork } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { CreateRefundRequest, Refund } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { refundQueue } from "./channels.ts";
import type { PaymentNeeds } from "./needs.ts";
import { endRefund, isRefundRefused, refundable, refundMessage, startRefund, wrongState } from "./payment.ts";
import type { PaymentRecord, RefundRecord } from "./payment.ts";
import { lockPayment, readPayment, savePayment } from "./payment-store.ts";

// `refundPayment` does it at once; the task is for when that fails.
const inlineMs = 15_000;

/** Begins a refund, inside the caller's transaction: the record, its event and the task that does it. All that is left by default. */
export async function beginRefund(
  needs: PaymentNeeds,
  tx: Transaction,
  refund: { readonly payment: string; readonly minor: bigint | undefined; readonly ofCancelling?: true; readonly dueAt?: Date },
  call: Call,
): Promise<{ payment: PaymentRecord; refund: RefundRecord }> {
  const at = needs.clock.now();
  const before = await lockPayment(tx, refund.payment);
  const id = needs.ids.next("rfd");
  const decision = startRefund(before, {
    id,
    amount: refund.minor ?? refundable(before),
    ...(refund.ofCancelling && { ofCancelling: true }),
    at,
  });
  const payload = create(RefundWorkSchema, { payment: before.id, refund: id });
  const task = { queue: refundQueue.name, key: id, payload, ...(refund.dueAt && { dueAt: refund.dueAt }) };
  const payment = await savePayment(needs, tx, decision, { call, at, tasks: [task] });
  return { payment, refund: payment.refunds.at(-1)! };
}

/** Begins a refund of an amount, or of all that is left. Refuses with INVALID_REQUEST when it is not in the payment's currency. */
export async function createRefund(
  needs: PaymentNeeds,
  tx: Transaction,
  { payment: id, amount }: Pick<CreateRefundRequest, "payment" | "amount">,
  call: Call,
): Promise<Refund> {
  const minor = amount === undefined ? undefined : minorIn(await readPayment(tx, id), amount);
  const { payment, refund } = await beginRefund(needs, tx, { payment: id, minor }, call);
  return refundMessage(payment, refund);
}

function minorIn({ currency }: PaymentRecord, amount: { readonly currency: string; readonly amount: string }): bigint {
  const money = moneyFrom(amount);
  if (money.currency === currency) return money.minor;
  const message = `must be ${currency}, the payment's currency`;
  const fields = [{ field: "amount.currency", reason: "CURRENCY_MISMATCH", message }];
  throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: `amount.currency ${message}`, fields });
}

/** Has the provider refund the money, and records the outcome. May be repeated: the provider refunds once per key. */
export const doRefund =
  (needs: PaymentNeeds) =>
  async (work: RefundWork, call: Call): Promise<PaymentRecord> => {
    const payment = await readPayment(needs.database, work.payment);
    const refund = payment.refunds.find(({ id }) => id === work.refund);
    const paidBy = payment.attempts.find(({ status }) => status === "SUCCEEDED");
    if (refund === undefined || paidBy === undefined)
      throw new Error(`payment ${work.payment} has no refund ${work.refund}, or was never paid`);
    if (refund.status !== "REFUND_PENDING") return payment;
    const amount = { currency: payment.currency, minor: refund.amount };
    const outcome = await needs.provider.refund({ key: refund.id, session: paidBy.id, amount }, call.signal);
    return needs.database.transaction(async (tx) => {
      const at = needs.clock.now();
      const locked = await lockPayment(tx, work.payment);
      const decision = endRefund(locked, refund.id, outcome, at);
      return decision === undefined ? locked : savePayment(needs, tx, decision, { call, at });
    });
  };

/**
 * Refunds everything, for an order that is cancelled. Gives the payment, REFUNDED, or as it is when it cost nothing; throws while the
 * outcome is unknown. Refuses with PROVIDER_REFUSED when the provider refused, also before: then it begins nothing, and is done when an operator's refunds are.
 */
export const refundPayment =
  (needs: PaymentNeeds) =>
  async (id: string, call: Call): Promise<PaymentRecord> => {
    const begun = await needs.database.transaction(async (tx) => {
      const payment = await lockPayment(tx, id);
      if (payment.status !== "CAPTURED" || refundable(payment) === 0n || isRefundRefused(payment)) return payment;
      const dueAt = new Date(needs.clock.now().getTime() + inlineMs);
      return (await beginRefund(needs, tx, { payment: id, minor: undefined, ofCancelling: true, dueAt }, call)).payment;
    });
    let payment = begun;
    for (const refund of begun.refunds)
      if (refund.status === "REFUND_PENDING")
        payment = await doRefund(needs)(create(RefundWorkSchema, { payment: id, refund: refund.id }), call);
    if (payment.status === "REFUNDED" || (payment.status === "CAPTURED" && payment.captured === 0n)) return payment;
    if (payment.status !== "CAPTURED") throw wrongState(payment);
    throw refuse({ reason: "PROVIDER_REFUSED", code: "failed_precondition", message: "The provider refused to refund everything" });
  };
