import { ClaimRefusedSchema } from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { OrderClockSchema, OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { PaymentCapturedSchema, PaymentRefundedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Captured and refunded payments, whose orders are paid or cancelled. */
export const paymentsEvents = {
  name: "orders.payments",
  publisher: "payments",
  schemas: [PaymentCapturedSchema, PaymentRefundedSchema],
} as const satisfies DeclaredSubscription;

/** Paid orders without units, which are taken back. */
export const claimsEvents = {
  name: "orders.claims",
  publisher: "inventory",
  schemas: [ClaimRefusedSchema],
} as const satisfies DeclaredSubscription;

/** Reminds of an unpaid order, then cancels it: one task an order. */
export const orderClockQueue = { name: "order-clock", schema: OrderClockSchema } as const satisfies DeclaredQueue;
/** Refunds and cancels an order. */
export const takeBackQueue = { name: "order-take-back", schema: OrderTakeBackSchema } as const satisfies DeclaredQueue;
