import { ClearCartsSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Paid orders, whose carts are deleted. */
export const ordersEvents = {
  name: "carts.orders",
  publisher: "orders",
  schemas: [OrderPaidSchema],
} as const satisfies DeclaredSubscription;

/** Deletes the carts of paid orders. */
export const clearCartsQueue = { name: "clear-carts", schema: ClearCartsSchema } as const satisfies DeclaredQueue;
