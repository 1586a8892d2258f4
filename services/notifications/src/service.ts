import { NotificationsService } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { identityEvents, ordersEvents, paymentsEvents, sendIdentityMailQueue, sendQueue, verificationEvents } from "./channels.ts";
import { retention } from "./retention.ts";
import { settings } from "./settings.ts";

export const notifications = defineService({
  name: "notifications",
  summary: "mails to customers: registration, orders, refunds",
  contracts: [NotificationsService],
  settings,
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  subscriptions: [verificationEvents, identityEvents, ordersEvents, paymentsEvents],
  queues: [sendQueue, sendIdentityMailQueue],
  load: () => import("./create-service.ts"),
});
