import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AttemptSchema, AttemptStatus, PaymentSchema, PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Attempt, Payment } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { refundMessage } from "./payment.ts";
import type { AttemptRecord, PaymentRecord } from "./payment.ts";

/** An attempt as the contract has it, with the provider's page when it is known. */
export function attemptMessage({
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

/** A payment as the contract has it, with the address where it is paid while that can be done. */
export function paymentMessage(payment: PaymentRecord, publicUrl: string): Payment {
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
    ...(payment.expiresAt !== null && { expiresAt: timestampFromDate(payment.expiresAt) }),
  });
}
