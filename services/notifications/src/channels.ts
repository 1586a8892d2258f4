import {
  PasswordResetRequestedSchema,
  RegistrationMailRequestedSchema,
  VerificationRequestedSchema,
} from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { SendNotificationSchema } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import {
  OrderCancelledSchema,
  OrderFulfilledSchema,
  OrderPaidSchema,
  OrderReminderDueSchema,
} from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { PaymentRefundedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Registrations of the version before, which need a code. */
export const verificationEvents = {
  name: "notifications.identity",
  publisher: "identity",
  schemas: [VerificationRequestedSchema],
} as const satisfies DeclaredSubscription;

/** Registrations, which need a code, and passwords to be reset, which need a link. */
export const identityEvents = {
  name: "notifications.identity-mails",
  publisher: "identity",
  schemas: [RegistrationMailRequestedSchema, PasswordResetRequestedSchema],
} as const satisfies DeclaredSubscription;

/** What happens to orders that their customers are notified of. */
export const ordersEvents = {
  name: "notifications.orders",
  publisher: "orders",
  schemas: [OrderPaidSchema, OrderReminderDueSchema, OrderCancelledSchema, OrderFulfilledSchema],
} as const satisfies DeclaredSubscription;

/** Refunds. */
export const paymentsEvents = {
  name: "notifications.payments",
  publisher: "payments",
  schemas: [PaymentRefundedSchema],
} as const satisfies DeclaredSubscription;

/** Sends one mail about an account. A queue of its own: a process of the version before, which runs beside this one, cannot write these. */
export const sendIdentityMailQueue = { name: "send-identity-mail", schema: SendNotificationSchema } as const satisfies DeclaredQueue;

/** Sends one mail. */
export const sendQueue = { name: "send-notification", schema: SendNotificationSchema } as const satisfies DeclaredQueue;
