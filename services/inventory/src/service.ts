import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { inventorySubscription } from "./events.ts";
import { releaseExpired } from "./release.ts";
import { createReserve } from "./reserve.ts";
import { inventoryRoute } from "./rpc.ts";
import { createStockCounts } from "./stock-counts.ts";

const expiryQueue = "expire-reservations";
// No reservation outlives its expiry by more than ten seconds.
const expiryEveryMs = 5_000;

export const inventory: ServiceDefinition = {
  name: "inventory",
  migrations: new URL("../migrations/", import.meta.url),
  rebuild: async () => (await import("./rebuild.ts")).inventoryRebuild,
  create: (context) => {
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
          name: expiryQueue,
          schema: EmptySchema,
          run: async (_, call) => {
            await expire(call);
            return { again: new Date(clock.now().getTime() + expiryEveryMs) };
          },
        }),
      ],
      start: () =>
        database.transaction((tx) =>
          tasks.add(tx, rootCall({ caller: "inventory", timeoutMs: 5_000 }), [
            { queue: expiryQueue, key: "always", payload: create(EmptySchema) },
          ]),
        ),
      idle: async () => {
        await idle();
        await counts.written();
      },
    };
  },
};
