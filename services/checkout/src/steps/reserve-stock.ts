import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { SagaStep } from "@kontor/platform/saga/saga.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import { reservedUntil } from "../deadline.ts";
import type { PlacingOrder } from "../placing-order.ts";

/** Reserves the order's units. While inventory is unavailable nothing is ordered. */
export function reserveStock(inventory: Client<typeof InventoryService>): SagaStep<PlacingOrder> {
  return {
    name: "reserve-stock",
    undoWhenUnavailable: true,
    do: async ({ input }, call) => {
      const expiresAt = timestampFromDate(reservedUntil(input));
      await inventory.reserve({ order: input.order, lines: input.lines.map(({ sku, quantity }) => ({ sku, quantity })), expiresAt }, call);
    },
    undo: async ({ input }, call) => {
      await inventory.release({ order: input.order }, call);
    },
  };
}
