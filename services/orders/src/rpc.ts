import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { OrderSchema, OrdersService, OrderStatus, FulfilmentSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { expectVersion } from "@kontor/platform/database/expect-version.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { RecordedEvent } from "@kontor/platform/events/events.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { keyed, keyedSteps } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { cancelOrder, changeOrderIn } from "./cancel-order.ts";
import type { CancelNeeds } from "./cancel-order.ts";
import { createOrder } from "./create-order.ts";
import { fulfil } from "./order.ts";
import type { OrderWatch } from "./order-watch.ts";
import { readOrder, readOrders } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";
import { voidOrder } from "./void-order.ts";

type Needs = CancelNeeds & Pick<ServiceContext, "ids" | "config"> & { readonly watch: OrderWatch };

/** An order in one of these changes no more. */
const endings: ReadonlySet<OrderStatus> = new Set([OrderStatus.CANCELLED, OrderStatus.COMPLETED]);

export function ordersRoute(needs: Needs): Route {
  const { database, events, ids, config } = needs;
  const make = createOrder(needs);
  const undo = voidOrder(needs);
  const cancelled = cancelOrder(needs);
  const reply = (order: StoredOrder): Order => orderMessage(order, config.publicUrl);
  return implement(OrdersService, {
    listOrders: async (request, call) => {
      const { items, ...next } = await readOrders(database, request, {
        customer: seesAll(call) ? request.customer || undefined : ownCustomer(request.customer, call),
        status: request.status,
        createdAfter: request.createdAfter && timestampDate(request.createdAfter),
        createdBefore: request.createdBefore && timestampDate(request.createdBefore),
      });
      return { items: items.map(reply), ...next };
    },
    getOrder: async (request, call) => reply(await visibleOrder(needs, request.order, call)),
    getOrderHistory: async (request, call) => {
      const order = await visibleOrder(needs, request.order, call);
      const history = await events.history(database, order.id);
      return { items: history.map(changeOf) };
    },
    async *watchOrder(request, call) {
      const order = await visibleOrder(needs, request.order, call);
      if (endings.has(order.state.status) && request.afterVersion >= order.version) return;
      for await (const event of needs.watch.follow(order.id, request.afterVersion, call.signal)) {
        const change = changeOf(event);
        yield change;
        if (endings.has(change.status)) return;
      }
    },
    cancelOrder: keyedSteps(
      async (request, call) => {
        const order = await visibleOrder(needs, request.order, call);
        // One that is cancelled, or about to be, may be past the version that the caller saw because of this very request.
        if (order.state.status !== OrderStatus.CANCELLED && !order.state.cancelling) expectVersion("order", order, request.version);
        await cancelled(order.id, call.user?.id === order.state.customer ? "CUSTOMER" : "ADMIN", call);
      },
      async (request, _, tx) => reply(await readOrder(tx, request.order)),
    ),
    createFulfilment: keyed(async (request, call, tx) =>
      reply(
        await changeOrderIn(tx, needs, request.order, call, (order, by) => {
          expectVersion("order", order, request.version);
          const { carrier, tracking } = request;
          return fulfil(
            order.state,
            create(FulfilmentSchema, { id: ids.next("ful"), carrier, tracking, at: timestampFromDate(by.at) }),
            by,
          );
        }),
      ),
    ),
    createOrder: async (request, call) => reply(await make(request, call)),
    voidOrder: async (request, call) => {
      await undo(request.order, call);
      return {};
    },
    describeOrder: async (request) => reply(await readOrder(database, request.order)),
  });
}

function changeOf(event: RecordedEvent) {
  return {
    version: event.version,
    type: event.type,
    at: timestampFromDate(event.at),
    actor: event.actor,
    // Every event of an order holds the order as it is after it.
    status: (event.data as unknown as { order: OrderState }).order.status,
  };
}

function seesAll(call: Call): boolean {
  return call.hasRole("admin", "support");
}

function ownCustomer(asked: string, call: Call): string {
  const { id } = call.signedIn();
  if (asked !== "" && asked !== id)
    throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied", message: "You see your own orders only" });
  return id;
}

/** An order that the caller may see. To others it is not there. */
async function visibleOrder({ database }: Pick<Needs, "database">, id: string, call: Call): Promise<StoredOrder> {
  const order = await readOrder(database, id);
  if (order.state.customer !== call.signedIn().id && !seesAll(call))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such order" });
  return order;
}

function orderMessage({ id, version, state, paymentSecret, updatedAt }: StoredOrder, publicUrl: string): Order {
  return create(OrderSchema, {
    id,
    version,
    status: state.status,
    customer: state.customer,
    lines: state.lines,
    total: state.total!,
    payment: { id: state.payment, ...(state.status === OrderStatus.PENDING && { url: `${publicUrl}/pay/${paymentSecret}` }) },
    history: state.history,
    fulfilments: state.fulfilments,
    cancelling: state.cancelling,
    createdAt: state.createdAt!,
    expiresAt: state.expiresAt!,
    updatedAt: timestampFromDate(updatedAt),
  });
}
