import { create } from "@bufbuild/protobuf";
import { RemoveOrderedLinesSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { createCarts } from "./cart-store.ts";
import { clearCartsQueue, ordersEvents, removeOrderedQueue } from "./channels.ts";
import { cartsRoute } from "./rpc.ts";

const orderedOf = ({ cart: key, cartVersion: version, order, lines }: OrderState) => ({
  key,
  version,
  order,
  lines: lines.map(({ sku, quantity }) => ({ sku, quantity })),
});

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext): Service {
  const { tasks } = context;
  const store = createCarts(context);
  return {
    routes: [cartsRoute({ ...context, carts: store })],
    subscriptions: [
      subscription({
        ...ordersEvents,
        // A cart that was paid is not needed any more: that it goes a moment later is seen by nobody.
        pauseMs: 200,
        apply: async (tx, events) => {
          const [first] = events;
          // One that is paid while it is being cancelled is refunded: its shopper has bought nothing.
          const orders = events.flatMap(({ data: { order } }) => (order!.cart === "" || order!.cancelling ? [] : orderedOf(order!)));
          if (first === undefined || orders.length === 0) return undefined;
          const task = { queue: removeOrderedQueue.name, key: first.id, payload: create(RemoveOrderedLinesSchema, { orders }) };
          const call = callFor(first, "carts");
          const removal = store.removal(orders);
          if (removal === undefined) {
            // In another store than this transaction's, removing them is a task: one for a batch.
            tx.afterCommit(() => tasks.wake());
            return { parts: [sql`tasked as (${tasks.addSql(call, [task])})`] };
          }
          // One that was changed since it was ordered keeps what was added: each is a task, which the worker finds by polling.
          const each = orders.map((order) => ({
            ...task,
            key: order.order,
            of: order.key,
            payload: create(RemoveOrderedLinesSchema, { orders: [order] }),
          }));
          const changed = sql`select * from unnest(${orders.map(({ key }) => key)}::text[]) except select id from removed`;
          return { parts: [...removal.parts, sql`tasked as (${tasks.addSql(call, each, changed)})`] };
        },
      }),
    ],
    queues: [
      queue({
        ...removeOrderedQueue,
        run: async ({ payload: { orders } }) => {
          for (const order of orders) await store.removeOrdered(order);
        },
      }),
      queue({ ...clearCartsQueue, run: ({ payload: { keys } }) => store.deleteByKeys(keys) }),
    ],
  };
}
