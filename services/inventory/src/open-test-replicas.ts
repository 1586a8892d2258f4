import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { createBudget } from "@kontor/platform/database/budget.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { hostService, platformMigrations } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { afterTests, openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import type { InventoryClient } from "./open-test-inventory.ts";
import { inventory } from "./service.ts";

export interface Replicas {
  readonly clients: readonly InventoryClient[];
  readonly hosted: readonly HostedService[];
}

/** Replicas of inventory, each with its own connections, on one database; without caches they share nothing else. */
export async function openReplicas(count: number, clock: Clock, caches: readonly Cache[] = []): Promise<Replicas> {
  const migrations = [...platformMigrations, { scope: "inventory", folder: inventory.migrations! }];
  const first = await openTestDatabase({ name: "inventory", migrations });
  const hosted: HostedService[] = [];
  const clients: InventoryClient[] = [];
  for (let nth = 0; nth < count; nth++) {
    const budget = createBudget({ connections: 8, background: 2 });
    const database = openDatabase({ name: "inventory", connection: first.connection, budget, log: quiet });
    const rpc = createInProcessRpc({ log: quiet, freeze: true });
    const replica = hostService(inventory, {
      database,
      rpc,
      wakeups: createWakeups({ log: quiet }),
      cache: caches[nth] ?? createUnsharedCache(createMemoryCache({ maxEntries: 1 })),
      mail: { send: () => Promise.reject(new Error("inventory sends no mail")) },
      clock,
      ids: createIds(clock),
      config: {
        publicUrl: "",
        shopName: "",
        mailFrom: "",
        masterKey: new Uint8Array(32),
        payments: { providerUrl: "", apiKey: "", webhookSecret: "" },
      },
      registry: contracts,
      log: quiet,
    });
    await replica.log.start();
    afterTests(async () => {
      await replica.log.stop();
      await rpc.stop();
      await database.stop();
    });
    hosted.push(replica);
    clients.push(rpc.clientsFor("test").of("inventory", InventoryService));
  }
  return { clients, hosted };
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
