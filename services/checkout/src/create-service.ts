import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { subscription } from "@kontor/platform/events/events.ts";
import { createSagas } from "@kontor/platform/saga/embedded.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { ordersEvents } from "./channels.ts";
import { placeOrder } from "./place-order.ts";
import { checkoutRoute } from "./rpc.ts";

/** The service with its routes, subscriptions and task queues. */
export function createService(context: ServiceContext): Service {
  const { clients } = context;
  const orders = clients.of("orders", OrdersService);
  const place = placeOrder({
    inventory: clients.of("inventory", InventoryService),
    orders,
    payments: clients.of("payments", PaymentsService),
  });
  const sagas = createSagas({ ...context, service: "checkout", definitions: [place] });
  const reads = { carts: clients.of("carts", CartsService), catalog: clients.of("catalog", CatalogService), orders };
  return {
    routes: [checkoutRoute({ ...context, ...reads, sagas, placeOrder: place })],
    subscriptions: [
      subscription({
        ...ordersEvents,
        apply: async (tx, events) => {
          // A saga that was compensated frees its cart by itself, when its units are free too.
          const cancelled = events.flatMap(({ data }) => (data.order!.history.at(-1)?.cause === "CHECKOUT" ? [] : data.order!));
          const ended = new Set(cancelled.map(({ order }) => order));
          const carts = cancelled.flatMap(({ cart }) => (cart === "" ? [] : cart));
          // An event may come late or again, when the saga of another order has the cart: that one keeps it.
          const holders = (await sagas.holders(tx, place, carts)).filter(({ input }) => ended.has(input.order));
          await sagas.release(
            tx,
            holders.map(({ id }) => id),
          );
        },
      }),
    ],
    start: () => sagas.start(),
    stop: () => sagas.stop(),
    idle: () => sagas.idle(),
  };
}
