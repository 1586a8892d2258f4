import type { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { NotificationKind } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import type { SendNotification } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { Task, TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { registrationMail, resetMail } from "./identity-mails.ts";
import type { WrittenMail } from "./identity-mails.ts";
import type { NotificationsSettings } from "./settings.ts";
import { cancellationMail, confirmationMail, refundMail, reminderMail, shippingMail } from "./templates/order-mails.ts";

type Needs = Pick<ServiceContext<NotificationsSettings>, "mail" | "config" | "settings" | "clock"> & {
  readonly identity: Client<typeof IdentityService>;
  readonly orders: Client<typeof OrdersService>;
};

/**
 * Sends one message. Names, addresses and what was ordered are read now, and stored nowhere. What is not to be sent any more,
 * such as a reminder of an order that is no longer PENDING, is not, and its record is deleted.
 */
export const sendNotification =
  (needs: Needs) =>
  async (task: Task<SendNotification>, call: Call): Promise<TaskResult | void> => {
    const written = await write(needs, task.payload, call);
    if (written === undefined)
      return { effect: async (tx) => void (await tx.run(sql`delete from notifications where id = ${task.payload.notification}`)) };
    await needs.mail.send({ id: task.id, from: needs.settings.mailFrom, to: written.to, ...written.words });
  };

/** Records which were sent. */
export const noteSent =
  ({ clock }: Pick<Needs, "clock">) =>
  (tasks: readonly Task<SendNotification>[], done: Sql): Writes => ({
    parts: [
      sql`noted as (update notifications set sent_at = ${clock.now()}, task = sent.task
        from unnest(${tasks.map(({ payload }) => payload.notification)}::text[], ${tasks.map(({ id }) => id)}::text[]) as sent (id, task)
        where notifications.id = sent.id and sent.task in (${done}))`,
    ],
  });

async function write(needs: Needs, payload: SendNotification, call: Call): Promise<WrittenMail | undefined> {
  const { identity, orders, config } = needs;
  const shop = { name: config.shopName, url: config.publicUrl };
  if (payload.kind === NotificationKind.VERIFICATION) return registrationMail(identity, shop, payload.subject, call);
  if (payload.kind === NotificationKind.PASSWORD_RESET) return resetMail(identity, shop, payload.subject, call);
  const [{ email: to, name }, order] = await Promise.all([
    identity.getContact({ account: payload.account }, call),
    orders.describeOrder({ order: payload.subject }, call),
  ]);
  const facts = { name, order };
  switch (payload.kind) {
    case NotificationKind.ORDER_CONFIRMATION:
      return { to, words: confirmationMail(shop, facts) };
    case NotificationKind.PAYMENT_REMINDER:
      return order.status === OrderStatus.PENDING ? { to, words: reminderMail(shop, facts) } : undefined;
    case NotificationKind.ORDER_CANCELLATION:
      return { to, words: cancellationMail(shop, facts) };
    case NotificationKind.SHIPPING_UPDATE:
      return { to, words: shippingMail(shop, facts) };
    case NotificationKind.REFUND_RECEIPT:
      return { to, words: refundMail(shop, { ...facts, amount: payload.amount }) };
    case NotificationKind.NOTIFICATION_KIND_UNSPECIFIED:
      throw new Error(`notification ${payload.notification} is of no kind`);
  }
}
