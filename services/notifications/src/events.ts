import { PasswordResetRequestedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { OrderCancelledSchema, OrderPaidSchema, OrderReminderDueSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { isEvent, subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { identityEvents, ordersEvents, paymentsEvents, sendIdentityMailQueue, verificationEvents } from "./channels.ts";
import { notify } from "./notify.ts";
import type { Kind, Notice } from "./notify.ts";

/** A mail is on its way for longer than this; only for the code of a registration somebody waits. */
const pauseMs = 200;

/** The events of which customers are notified. */
export function notificationSubscriptions(needs: Pick<ServiceContext, "tasks" | "clock" | "ids">): readonly Subscription[] {
  return [
    subscription({
      ...verificationEvents,
      apply: async (tx, events) =>
        notify(
          needs,
          tx,
          events.map((event) => ({ event, kind: "VERIFICATION", account: event.data.account, subject: event.data.verification })),
        ),
    }),
    subscription({
      ...identityEvents,
      apply: async (tx, events) =>
        notify(
          { ...needs, queue: sendIdentityMailQueue.name },
          tx,
          events.map((event): Notice =>
            isEvent(event, PasswordResetRequestedSchema)
              ? // Whose it is, if anybody's, is found out when it is sent.
                { event, kind: "PASSWORD_RESET", account: "", subject: event.data.reset }
              : { event, kind: "VERIFICATION", account: event.data.account, subject: event.data.verification },
          ),
        ),
    }),
    subscription({
      ...ordersEvents,
      pauseMs,
      apply: async (tx, events) =>
        notify(
          needs,
          tx,
          events.map((event): Notice => {
            const { customer: account, order: subject } = event.data.order!;
            if (isEvent(event, OrderReminderDueSchema))
              return { event, kind: "PAYMENT_REMINDER", account, subject, hours: event.data.hours };
            const kind: Kind = isEvent(event, OrderPaidSchema)
              ? "ORDER_CONFIRMATION"
              : isEvent(event, OrderCancelledSchema)
                ? "ORDER_CANCELLATION"
                : "SHIPPING_UPDATE";
            return { event, kind, account, subject };
          }),
        ),
    }),
    subscription({
      ...paymentsEvents,
      pauseMs,
      apply: async (tx, events) =>
        notify(
          needs,
          tx,
          events.map((event) => {
            const { customer: account, order: subject } = event.data.payment!;
            const { amount, currency } = event.data.refund!.amount!;
            return { event, kind: "REFUND_RECEIPT", account, subject, amount: `${amount} ${currency}` };
          }),
        ),
    }),
  ];
}
