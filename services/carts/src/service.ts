import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { ClearCartSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { createCarts } from "./cart-store.ts";
import { cartsRoute } from "./rpc.ts";

const clearQueue = "clear-cart";
const sweepQueue = "sweep-carts";
const sweepEveryMs = 3_600_000;

export const carts: ServiceDefinition = {
  name: "carts",
  create: (surroundings) => {
    const { database, tasks, clock } = surroundings;
    const store = createCarts(surroundings);
    return {
      routes: [cartsRoute({ ...surroundings, carts: store })],
      subscriptions: [
        subscription({
          name: "carts.orders",
          publisher: "orders",
          schemas: [OrderPaidSchema],
          // The cart may live in another store than this transaction's, so removing it is a task.
          apply: async (tx, events) => {
            const bought = events.filter(({ data }) => data.order!.cart !== "");
            const [first] = bought;
            if (first === undefined) return;
            const clear = bought.map((event) => ({
              queue: clearQueue,
              key: event.data.order!.cart,
              payload: create(ClearCartSchema, { key: event.data.order!.cart }),
              call: callFor(event, "carts"),
            }));
            await tasks.add(tx, callFor(first, "carts"), clear);
          },
        }),
      ],
      queues: [
        queue({
          name: clearQueue,
          schema: ClearCartSchema,
          run: ({ payload }) => store.deleteByKey(payload.key),
        }),
        queue({
          name: sweepQueue,
          schema: EmptySchema,
          run: async () => {
            await store.sweep();
            return { again: new Date(clock.now().getTime() + sweepEveryMs) };
          },
        }),
      ],
      start: () =>
        database.transaction((tx) =>
          tasks.add(tx, rootCall({ caller: "carts", timeoutMs: 5_000 }), [
            { queue: sweepQueue, key: "hourly", payload: create(EmptySchema) },
          ]),
        ),
    };
  },
};
