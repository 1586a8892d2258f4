import { create } from "@bufbuild/protobuf";
import { ClearCartsSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { createCarts } from "./cart-store.ts";
import { clearCartsQueue, ordersEvents } from "./channels.ts";
import { cartsRoute } from "./rpc.ts";

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
          const keys = events.map(({ data }) => data.order!.cart).filter((key) => key !== "");
          if (first === undefined || keys.length === 0) return undefined;
          const deletion = store.deletionByKeys(keys);
          if (deletion !== undefined) return deletion;
          // In another store than this transaction's, removing them is a task: one for a batch.
          const task = { queue: clearCartsQueue.name, key: first.id, payload: create(ClearCartsSchema, { keys }) };
          tx.afterCommit(() => tasks.wake());
          return { parts: [sql`tasked as (${tasks.addSql(callFor(first, "carts"), [task])})`] };
        },
      }),
    ],
    queues: [
      queue({
        ...clearCartsQueue,
        run: ({ payload }) => store.deleteByKeys(payload.keys),
      }),
    ],
  };
}
