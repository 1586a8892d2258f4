import { OrderCancelledSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Cancelled orders, whose carts may be ordered again. */
export const ordersEvents = {
  name: "checkout.orders",
  publisher: "orders",
  schemas: [OrderCancelledSchema],
} as const satisfies DeclaredSubscription;
