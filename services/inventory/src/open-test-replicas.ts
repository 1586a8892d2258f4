import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import { testDatabase } from "@kontor/platform/testing/postgres.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import type { InventoryClient } from "./open-test-inventory.ts";
import { inventory } from "./service.ts";

export interface Replicas {
  readonly clients: readonly InventoryClient[];
  readonly hosted: readonly HostedService[];
}

/** Replicas of inventory on one database; without caches they share nothing else. */
export async function openReplicas(count: number, clock: Clock, caches: readonly Cache[] = []): Promise<Replicas> {
  const { connection } = await testDatabase();
  const hosted: HostedService[] = [];
  const clients: InventoryClient[] = [];
  for (let nth = 0; nth < count; nth++) {
    const cache = caches[nth];
    const replica = await openTestReplica(inventory, { registry: contracts, connection, clock, ...(cache && { cache }) });
    hosted.push(replica.hosted);
    clients.push(replica.clientsFor("test").of("inventory", InventoryService));
  }
  return { clients, hosted };
}
