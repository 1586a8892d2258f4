import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { takeBackTask } from "./cancel-order.ts";
import { orderClockQueue, takeBackQueue } from "./channels.ts";
import { orderSubscriptions } from "./events.ts";
import { tickOrder } from "./order-clock.ts";
import { createOrderWatch } from "./order-watch.ts";
import { ordersRoute } from "./rpc.ts";

// The provider may be unavailable for long: the tasks of an order are repeated until it responds.
const patient = { attemptsMax: 1_000_000, retryDelayMs: 2_000, retryDelayMsMax: 300_000 };

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext): Service {
  const watch = createOrderWatch(context);
  const needs = { ...context, events: watch.events, watch, payments: context.clients.of("payments", PaymentsService) };
  const tick = tickOrder(needs);
  const giveBack = takeBackTask(needs);
  return {
    routes: [ordersRoute(needs)],
    subscriptions: orderSubscriptions(needs),
    queues: [
      queue({ ...orderClockQueue, ...patient, run: (task, call) => tick(task.payload, call) }),
      queue({ ...takeBackQueue, ...patient, run: (task, call) => giveBack(task.payload, call) }),
    ],
  };
}
