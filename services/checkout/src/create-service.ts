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
  const place = placeOrder({
    inventory: clients.of("inventory", InventoryService),
    orders: clients.of("orders", OrdersService),
    payments: clients.of("payments", PaymentsService),
  });
  const sagas = createSagas({ ...context, service: "checkout", definitions: [place] });
  const carts = clients.of("carts", CartsService);
  const catalog = clients.of("catalog", CatalogService);
  return {
    routes: [checkoutRoute({ ...context, sagas, placeOrder: place, carts, catalog })],
    subscriptions: [
      subscription({
        ...ordersEvents,
        // A cart whose order is cancelled may be ordered again. A saga that was compensated released the cart when it ended, and another
        // saga may be running by now, which must not be released.
        apply: async (tx, events) => {
          for (const { data } of events)
            if (data.order!.cart !== "" && data.order!.history.at(-1)?.cause !== "CHECKOUT")
              await sagas.release(tx, place.name, data.order!.cart);
        },
      }),
    ],
    start: () => sagas.start(),
    stop: () => sagas.stop(),
    idle: () => sagas.idle(),
  };
}
