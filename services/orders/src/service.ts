import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { claimsEvents, orderClockQueue, paymentsEvents, takeBackQueue } from "./channels.ts";
import { retention } from "./retention.ts";

export const orders = defineService({
  name: "orders",
  summary: "what was ordered, and how far each order is",
  contracts: [OrdersService],
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  subscriptions: [paymentsEvents, claimsEvents],
  queues: [orderClockQueue, takeBackQueue],
  rebuild: async () => (await import("./rebuild.ts")).ordersRebuild,
  load: () => import("./create-service.ts"),
});
