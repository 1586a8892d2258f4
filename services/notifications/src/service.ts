import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { SendNotificationSchema } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { notificationSubscriptions } from "./events.ts";
import { sendQueue } from "./notify.ts";
import { notificationsRoute } from "./rpc.ts";
import { noteSent, sendNotification } from "./send.ts";

export const notifications: ServiceDefinition = {
  name: "notifications",
  migrations: new URL("../migrations/", import.meta.url),
  create: (context) => {
    const { clients } = context;
    const send = sendNotification({
      ...context,
      identity: clients.of("identity", IdentityService),
      orders: clients.of("orders", OrdersService),
    });
    return {
      routes: [notificationsRoute(context)],
      subscriptions: notificationSubscriptions(context),
      // Tried for nearly two hours, because mail servers are away for longer than a few minutes.
      queues: [
        queue({
          name: sendQueue,
          schema: SendNotificationSchema,
          concurrency: 16,
          attemptsMax: 20,
          run: send,
          settle: noteSent(context),
        }),
      ],
    };
  },
};
