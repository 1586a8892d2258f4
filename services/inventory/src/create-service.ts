import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { expiryQueue } from "./channels.ts";
import { inventorySubscription } from "./events.ts";
import { releaseExpired } from "./release.ts";
import { createReserve } from "./reserve.ts";
import { inventoryRoute } from "./rpc.ts";
import { createStockCounts } from "./stock-counts.ts";
import type { InventorySettings } from "./settings.ts";

// No reservation outlives its expiry by more than ten seconds.
const expiryEveryMs = 5_000;

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext<InventorySettings>): Service {
  const { database, tasks, clock } = context;
  const counts = createStockCounts(context);
  const needs = { ...context, counts };
  const { reserve, idle } = createReserve(needs);
  const expire = releaseExpired(needs);
  return {
    routes: [inventoryRoute({ ...needs, reserve })],
    subscriptions: [inventorySubscription(needs)],
    queues: [
      queue({
        ...expiryQueue,
        run: async (_, call) => {
          await expire(call);
          return { again: new Date(clock.now().getTime() + expiryEveryMs) };
        },
      }),
    ],
    start: () =>
      database.transaction((tx) =>
        tasks.add(tx, rootCall({ caller: "inventory", timeoutMs: 5_000 }), [
          { queue: expiryQueue.name, key: "always", payload: create(EmptySchema) },
        ]),
      ),
    idle: async () => {
      await idle();
      await counts.written();
    },
  };
}
