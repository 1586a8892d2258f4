import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { keyed, keyedDecision } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import { waiting } from "@kontor/platform/rpc/waiting.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { carryOutCancel, decideToCancelVisible } from "./cancel-order.ts";
import type { CancelNeeds } from "./cancel-order.ts";
import { createFulfilment } from "./create-fulfilment.ts";
import { createOrder } from "./create-order.ts";
import { changeMessage, orderMessage } from "./order-messages.ts";
import type { OrderWatch } from "./order-watch.ts";
import { orderLookup } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";
import { visibleOrder, visibleOrders, watchVisibleOrder } from "./view-order.ts";
import { voidOrder } from "./void-order.ts";

type Needs = CancelNeeds & Pick<ServiceContext, "ids" | "config"> & { readonly watch: OrderWatch };

export function ordersRoute(all: Needs): Route {
  const find = orderLookup(all.database);
  const needs = { ...all, find };
  const { database, events, config } = needs;
  const make = createOrder(needs);
  const undo = voidOrder(needs);
  const carryOut = carryOutCancel(needs);
  const reply = (order: StoredOrder): Order => orderMessage(order, config.publicUrl);
  return implement(OrdersService, {
    listOrders: async (request, call) => {
      const { items, ...next } = await visibleOrders(database, request, call);
      return { items: items.map(reply), ...next };
    },
    getOrder: waiting({
      read: async (request, call) => reply(await visibleOrder(find, request.order, call)),
      isPending: ({ status, cancelling }) => status === OrderStatus.PENDING || cancelling,
      watch: ({ order }) => needs.watch.watch(order),
    }),
    getOrderHistory: async (request, call) => {
      const { id } = await visibleOrder(find, request.order, call);
      return { items: (await events.history(database, id)).map(changeMessage) };
    },
    watchOrder: (request, call) => watchVisibleOrder(needs, request, call),
    cancelOrder: keyedDecision(
      async ({ order }, call, tx, seen) => reply(await decideToCancelVisible(needs, tx, { order, seen }, call)),
      async ({ id }, _, call) => reply(await carryOut(id, call)),
    ),
    createFulfilment: keyed(async (request, call, tx, seen) => reply(await createFulfilment(needs, tx, request, { call, seen }))),
    createOrder: async (request, call) => reply(await make(request, call)),
    voidOrder: async (request, call) => {
      await undo(request.order, call);
      return {};
    },
    describeOrder: async (request, call) => reply(await find(request.order, call)),
  });
}
