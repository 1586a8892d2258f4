import { ClaimRefusedSchema } from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { OrderClockSchema, OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { PaymentCapturedSchema, PaymentRefundedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

export const paymentsEvents = {
  name: "orders.payments",
  publisher: "payments",
  schemas: [PaymentCapturedSchema, PaymentRefundedSchema],
} as const satisfies DeclaredSubscription;

export const claimsEvents = {
  name: "orders.claims",
  publisher: "inventory",
  schemas: [ClaimRefusedSchema],
} as const satisfies DeclaredSubscription;

export const orderClockQueue = { name: "order-clock", schema: OrderClockSchema } as const satisfies DeclaredQueue;
export const takeBackQueue = { name: "order-take-back", schema: OrderTakeBackSchema } as const satisfies DeclaredQueue;
