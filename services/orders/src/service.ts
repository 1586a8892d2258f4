import { OrderClockSchema, OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { takeBackQueue, takeBackTask } from "./cancel-order.ts";
import { orderClockQueue } from "./create-order.ts";
import { orderSubscriptions } from "./events.ts";
import { tickOrder } from "./order-clock.ts";
import { createOrderWatch } from "./order-watch.ts";
import { ordersRoute } from "./rpc.ts";

// The provider may be unavailable for long: the tasks of an order are repeated until it responds.
const patient = { attemptsMax: 1_000_000, retryDelayMs: 2_000, retryDelayMsMax: 300_000 };

export const orders: ServiceDefinition = {
  name: "orders",
  migrations: new URL("../migrations/", import.meta.url),
  rebuild: async () => (await import("./rebuild.ts")).ordersRebuild,
  create: (context) => {
    const watch = createOrderWatch(context);
    const needs = { ...context, events: watch.events, watch, payments: context.clients.of("payments", PaymentsService) };
    const tick = tickOrder(needs);
    const giveBack = takeBackTask(needs);
    return {
      routes: [ordersRoute(needs)],
      subscriptions: orderSubscriptions(needs),
      queues: [
        queue({ name: orderClockQueue, schema: OrderClockSchema, ...patient, run: (task, call) => tick(task.payload, call) }),
        queue({ name: takeBackQueue, schema: OrderTakeBackSchema, ...patient, run: (task, call) => giveBack(task.payload, call) }),
      ],
    };
  },
};
