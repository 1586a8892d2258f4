import { PlaceOrderInputSchema } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrderSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { SagaDefinition } from "@kontor/platform/saga/saga.ts";
import type { PlacingOrder } from "./placing-order.ts";
import { createOrder } from "./steps/create-order.ts";
import { openPayment } from "./steps/open-payment.ts";
import { reserveStock } from "./steps/reserve-stock.ts";

export type PlaceOrder = SagaDefinition<typeof PlaceOrderInputSchema, typeof OrderSchema, PlacingOrder>;

export const placeOrderName = "place-order";

/** From priced lines to an order that can be paid. The ids of all that it makes are in its input: a step that is repeated makes nothing twice. */
export function placeOrder(clients: {
  readonly inventory: Client<typeof InventoryService>;
  readonly orders: Client<typeof OrdersService>;
  readonly payments: Client<typeof PaymentsService>;
}): PlaceOrder {
  return {
    name: placeOrderName,
    input: PlaceOrderInputSchema,
    output: OrderSchema,
    begin: (input) => ({ input }),
    steps: [reserveStock(clients.inventory), createOrder(clients.orders), openPayment(clients.payments)],
    reply: ({ order }) => order!,
  };
}
