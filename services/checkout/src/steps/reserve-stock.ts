import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { SagaStep } from "@kontor/platform/saga/saga.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { PlacingOrder } from "../placing-order.ts";

// A day in which the order can be paid, and an hour more, so that a payment in the last minute still finds its units.
const reservedMs = 25 * 3_600_000;

/** Reserves the order's units. While inventory is unavailable nothing is ordered. */
export function reserveStock(inventory: Client<typeof InventoryService>): SagaStep<PlacingOrder> {
  return {
    name: "reserve-stock",
    undoWhenUnavailable: true,
    do: async ({ input }, call) => {
      const expiresAt = timestampFromDate(new Date(timestampDate(input.at!).getTime() + reservedMs));
      await inventory.reserve({ order: input.order, lines: input.lines.map(({ sku, quantity }) => ({ sku, quantity })), expiresAt }, call);
    },
    undo: async ({ input }, call) => {
      await inventory.release({ order: input.order }, call);
    },
  };
}
