import { ClearCartsSchema, RemoveOrderedLinesSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Paid orders, whose lines leave their carts. */
export const ordersEvents = {
  name: "carts.orders",
  publisher: "orders",
  schemas: [OrderPaidSchema],
} as const satisfies DeclaredSubscription;

/** Takes the lines of paid orders out of their carts. */
export const removeOrderedQueue = { name: "remove-ordered", schema: RemoveOrderedLinesSchema } as const satisfies DeclaredQueue;

/** Deletes the carts of paid orders: what the version before left to be done. */
export const clearCartsQueue = { name: "clear-carts", schema: ClearCartsSchema } as const satisfies DeclaredQueue;
