import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { sendIdentityMailQueue, sendQueue } from "./channels.ts";
import { notificationSubscriptions } from "./events.ts";
import { notificationsRoute } from "./rpc.ts";
import { noteSent, sendNotification } from "./send.ts";
import type { NotificationsSettings } from "./settings.ts";

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext<NotificationsSettings>): Service {
  const { clients } = context;
  const send = sendNotification({
    ...context,
    identity: clients.of("identity", IdentityService),
    orders: clients.of("orders", OrdersService),
  });
  return {
    routes: [notificationsRoute(context)],
    subscriptions: notificationSubscriptions(context),
    // Tried for nearly two hours, because a mail server may be unavailable for longer than a few minutes.
    queues: [sendQueue, sendIdentityMailQueue].map((declared) =>
      queue({
        ...declared,
        concurrency: 16,
        attemptsMax: 20,
        run: send,
        settle: noteSent(context),
      }),
    ),
  };
}
