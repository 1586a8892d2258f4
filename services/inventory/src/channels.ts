import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { OrderCancelledSchema, OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { DeclaredQueue, DeclaredSubscription } from "@kontor/platform/service/service.ts";

/** Paid and cancelled orders, whose units are sold or returned. */
export const ordersEvents = {
  name: "inventory.orders",
  publisher: "orders",
  schemas: [OrderPaidSchema, OrderCancelledSchema],
} as const satisfies DeclaredSubscription;

/** Frees expired reservations, every few seconds. */
export const expiryQueue = { name: "expire-reservations", schema: EmptySchema } as const satisfies DeclaredQueue;
