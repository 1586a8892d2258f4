import { toJsonString } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ReservationSchema } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { batchedCommandContract } from "@kontor/platform/batch/batched-command.contract.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { deliver, one } from "./open-test-inventory.ts";
import { inventory } from "./service.ts";
import { checkLedger } from "./test-ledger.ts";

batchedCommandContract("inventory.reserve", {
  // The order of this name reserves one unit of the product of the same name.
  keyOf: (nth) => `K${String(nth).padStart(6, "0")}`,
  written: { table: "stock", column: "sku" },
  events: 2,
  open: async (connections, log) => {
    const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
    const expiresAt = timestampFromDate(new Date("2026-03-03T10:00:00Z"));
    const replicas = [
      await openTestReplica(inventory, { registry: contracts, connection: connections[0], clock, log }),
      await openTestReplica(inventory, { registry: contracts, connection: connections[1], clock, log }),
    ] as const;
    const clients = replicas.map((replica) => replica.clientsFor("test").of("inventory", InventoryService));
    const { hosted, database } = replicas[1];
    return {
      prepare: (keys) => deliver(clients[1]!, Object.fromEntries(keys.map((key) => [key, 5]))),
      run: async (process, key, call) =>
        toJsonString(ReservationSchema, await clients[process]!.reserve({ order: key, lines: [one(key)], expiresAt }, call)),
      effects: async (key) => (await database.one<{ reserved: number }>(sql`select reserved from stock where sku = ${key}`)).reserved,
      check: () => checkLedger(hosted),
    };
  },
});
