import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { moneyTo } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import {
  AttemptAbandonedSchema,
  AttemptDeclinedSchema,
  AttemptReturnedSchema,
  AttemptStartedSchema,
  PaymentCapturedSchema,
  PaymentClosedSchema,
  PaymentOpenedSchema,
  PaymentRefundedSchema,
  PaymentStateSchema,
  RefundFailedSchema,
  RefundStartedSchema,
} from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { PaymentStatus, RefundSchema, RefundStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { StoredKey } from "@kontor/platform/call/resource-key.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { expectAttempt } from "./attempt-limits.ts";
import type { Session } from "./provider.ts";

export type Status = "OPEN" | "CAPTURED" | "CLOSED" | "REFUNDED";
export type AttemptState = "WAITING" | "DECLINED" | "SUCCEEDED" | "ABANDONED" | "RETURNED";
export type RefundState = "REFUND_PENDING" | "REFUND_DONE" | "REFUND_FAILED";

export interface AttemptRecord {
  readonly id: string;
  readonly status: AttemptState;
  readonly provider: string;
  readonly declineCode: string;
  /** The address that it came from, as a pseudonym: see `Call.origin`. */
  readonly origin?: string;
  /** The idempotency key that began it. */
  readonly key?: StoredKey;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface RefundRecord {
  readonly id: string;
  readonly amount: bigint;
  /** Begun for an order that is cancelled. */
  readonly ofCancelling?: true;
  readonly status: RefundState;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A payment as it is stored. Amounts in minor units of its currency. */
export interface PaymentRecord {
  readonly id: string;
  readonly version: number;
  readonly order: string;
  readonly customer: string;
  readonly status: Status;
  readonly currency: string;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly refunded: bigint;
  readonly secret: string;
  /** From then on nobody can begin to pay it; null for one of an older version, which ends with its order alone. */
  readonly expiresAt: Date | null;
  readonly attempts: readonly AttemptRecord[];
  readonly refunds: readonly RefundRecord[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A change of a payment: it afterwards, its events (at least one, so that its version counts every change), and what else has to be done. */
export interface Decision {
  readonly payment: PaymentRecord;
  readonly events: readonly Message[];
  /** An attempt whose money came a second time and has to go back. */
  readonly giveBack?: string;
}

/** The attempt that the shopper may be busy with: there is at most one. */
export function liveAttempt(payment: PaymentRecord): AttemptRecord | undefined {
  return payment.attempts.find(isLive);
}

export function isLive({ status }: AttemptRecord): boolean {
  return status === "WAITING";
}

/** A new payment: OPEN, or CAPTURED at once without an attempt when there is nothing to pay. */
export function opened(payment: PaymentRecord, at: Date): Decision {
  const open = create(PaymentOpenedSchema, { payment: state(payment) });
  if (payment.amount > 0n) return { payment, events: [open] };
  const captured: PaymentRecord = { ...payment, status: "CAPTURED", version: 2 };
  return { payment: captured, events: [open, create(PaymentCapturedSchema, { payment: state(captured), at: timestampFromDate(at) })] };
}

export interface NewAttempt {
  readonly id: string;
  readonly provider: string;
  /** The idempotency key that begins it. */
  readonly key?: StoredKey | undefined;
  /** The address that it comes from, as a pseudonym. */
  readonly origin?: string | undefined;
  readonly at: Date;
}

/** A new attempt. Refuses with PAYMENT_STATE unless the payment is open, and as `expectAttempt` does; the caller has seen to it that no other attempt is live. */
export function startAttempt(payment: PaymentRecord, attempt: NewAttempt): Decision {
  if (payment.status !== "OPEN") throw wrongState(payment);
  const { id, provider, key, origin, at } = attempt;
  expectAttempt(payment, at);
  const common = { id, provider, status: "WAITING", declineCode: "", createdAt: at, updatedAt: at } as const;
  const started: AttemptRecord = { ...common, ...(key && { key }), ...(origin !== undefined && { origin }) };
  const next = { ...payment, attempts: [...payment.attempts, started] };
  return { payment: next, events: [create(AttemptStartedSchema, { payment: state(next), attempt: id, provider })] };
}

/** Applies what the provider reports of an attempt. Undefined when that is known already, or nothing is decided yet. */
export function applySession(payment: PaymentRecord, session: Session, at: Date): Decision | undefined {
  const attempt = payment.attempts.find(({ id }) => id === session.key);
  if (attempt === undefined) throw new Error(`payment ${payment.id} has no attempt ${session.key}`);
  const live = isLive(attempt);
  switch (session.status) {
    case "processing":
    case "open":
      return undefined;
    case "closed": {
      if (!live) return undefined;
      const next = withAttempt(payment, { ...attempt, status: "ABANDONED", updatedAt: at });
      return { payment: next, events: [create(AttemptAbandonedSchema, { payment: state(next), attempt: attempt.id })] };
    }
    case "declined": {
      if (!live) return undefined;
      const next = withAttempt(payment, { ...attempt, status: "DECLINED", declineCode: session.declineCode, updatedAt: at });
      return {
        payment: next,
        events: [create(AttemptDeclinedSchema, { payment: state(next), attempt: attempt.id, declineCode: session.declineCode })],
      };
    }
    case "succeeded":
      return succeeded(payment, attempt, session, at);
  }
}

function succeeded(payment: PaymentRecord, attempt: AttemptRecord, session: Session, at: Date): Decision | undefined {
  if (attempt.status === "SUCCEEDED" || attempt.status === "RETURNED") return undefined;
  if (session.amount.currency !== payment.currency || session.amount.minor !== payment.amount)
    throw new Error(`attempt ${attempt.id} brought another amount than that of payment ${payment.id}`);
  if (payment.status !== "OPEN") {
    // The payment is captured already, or closed: this money is returned.
    const next = withAttempt(payment, { ...attempt, status: "RETURNED", updatedAt: at });
    return { payment: next, events: [create(AttemptReturnedSchema, { payment: state(next), attempt: attempt.id })], giveBack: attempt.id };
  }
  const next: PaymentRecord = {
    ...withAttempt(payment, { ...attempt, status: "SUCCEEDED", updatedAt: at }),
    status: "CAPTURED",
    captured: payment.amount,
  };
  return {
    payment: next,
    events: [create(PaymentCapturedSchema, { payment: state(next), attempt: attempt.id, at: timestampFromDate(at) })],
  };
}

/** Nobody can pay it any more. Undefined when it is decided already. The caller has closed its attempts at the provider. */
export function close(payment: PaymentRecord): Decision | undefined {
  if (payment.status !== "OPEN") return undefined;
  const next: PaymentRecord = { ...payment, status: "CLOSED" };
  return { payment: next, events: [create(PaymentClosedSchema, { payment: state(next) })] };
}

/** What can still be refunded: captured, less what was refunded or is being refunded. */
export function refundable(payment: PaymentRecord): bigint {
  const pending = payment.refunds.filter(({ status }) => status === "REFUND_PENDING").reduce((sum, { amount }) => sum + amount, 0n);
  return payment.captured - payment.refunded - pending;
}

/** Whether the provider has refused to refund what a cancelled order's customer paid: then a refund is begun by an operator only. */
export function isRefundRefused({ refunds }: PaymentRecord): boolean {
  return refunds.some(({ ofCancelling, status }) => ofCancelling === true && status === "REFUND_FAILED");
}

export interface NewRefund {
  readonly id: string;
  readonly amount: bigint;
  readonly ofCancelling?: true;
  readonly at: Date;
}

/** A refund begins. Refuses with PAYMENT_STATE when nothing was captured, with REFUND_TOO_LARGE when less is left. */
export function startRefund(payment: PaymentRecord, refund: NewRefund): Decision {
  const { id, amount, ofCancelling, at } = refund;
  if (payment.status !== "CAPTURED") throw wrongState(payment);
  const left = refundable(payment);
  if (amount <= 0n || amount > left)
    throw refuse({
      reason: "REFUND_TOO_LARGE",
      code: "failed_precondition",
      message: left === 0n ? "Nothing is left to be refunded" : "It is more than was paid and not yet refunded",
      details: { refundable: moneyTo({ currency: payment.currency, minor: left }) },
    });
  const record: RefundRecord = {
    id,
    amount,
    ...(ofCancelling && { ofCancelling }),
    status: "REFUND_PENDING",
    createdAt: at,
    updatedAt: at,
  };
  const next = { ...payment, refunds: [...payment.refunds, record] };
  return { payment: next, events: [create(RefundStartedSchema, { payment: state(next), refund: refundMessage(next, record) })] };
}

/** Records how a refund ended at the provider. Undefined when that is known. */
export function endRefund(payment: PaymentRecord, id: string, outcome: "succeeded" | "failed", at: Date): Decision | undefined {
  const refund = payment.refunds.find((one) => one.id === id);
  if (refund === undefined) throw new Error(`payment ${payment.id} has no refund ${id}`);
  if (refund.status !== "REFUND_PENDING") return undefined;
  const ended: RefundRecord = { ...refund, status: outcome === "succeeded" ? "REFUND_DONE" : "REFUND_FAILED", updatedAt: at };
  const refunds = payment.refunds.map((one) => (one.id === id ? ended : one));
  if (outcome === "failed") {
    const next = { ...payment, refunds };
    return { payment: next, events: [create(RefundFailedSchema, { payment: state(next), refund: refundMessage(next, ended) })] };
  }
  const refunded = payment.refunded + refund.amount;
  const next: PaymentRecord = { ...payment, refunds, refunded, status: refunded === payment.captured ? "REFUNDED" : payment.status };
  return { payment: next, events: [create(PaymentRefundedSchema, { payment: state(next), refund: refundMessage(next, ended) })] };
}

/** Refuses with PAYMENT_STATE once the time to pay is over. */
export function expectInTime({ status, expiresAt }: PaymentRecord, at: Date): void {
  if (expiresAt === null || at < expiresAt) return;
  const message = "The time to pay is over";
  throw refuse({ reason: "PAYMENT_STATE", code: "failed_precondition", message, details: { status, expiresAt: expiresAt.toISOString() } });
}

export function wrongState(payment: PaymentRecord): Error {
  return refuse({
    reason: "PAYMENT_STATE",
    code: "failed_precondition",
    message: `The payment is ${payment.status}`,
    details: { status: payment.status },
  });
}

export function amountOf(payment: PaymentRecord): Money {
  return { currency: payment.currency, minor: payment.amount };
}

export function refundMessage(payment: PaymentRecord, refund: RefundRecord) {
  return create(RefundSchema, {
    id: refund.id,
    payment: payment.id,
    amount: moneyTo({ currency: payment.currency, minor: refund.amount }),
    status: RefundStatus[refund.status],
    createdAt: timestampFromDate(refund.createdAt),
    updatedAt: timestampFromDate(refund.updatedAt),
  });
}

function state(payment: PaymentRecord) {
  const money = (minor: bigint) => moneyTo({ currency: payment.currency, minor });
  return create(PaymentStateSchema, {
    payment: payment.id,
    order: payment.order,
    customer: payment.customer,
    status: PaymentStatus[payment.status],
    amount: money(payment.amount),
    captured: money(payment.captured),
    refunded: money(payment.refunded),
  });
}

function withAttempt(payment: PaymentRecord, attempt: AttemptRecord): PaymentRecord {
  return { ...payment, attempts: payment.attempts.map((one) => (one.id === attempt.id ? attempt : one)) };
}
