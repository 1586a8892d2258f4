import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { ListOrdersRequest, OrderChange, WatchOrderRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Page } from "@kontor/platform/database/cursor.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { isAllowedForOthers, isOwnOrAllowed } from "@kontor/platform/rpc/access.ts";
import { changeMessage } from "./order-messages.ts";
import { readOrders } from "./order-store.ts";
import type { FindOrder, StoredOrder } from "./order-store.ts";
import type { OrderWatch } from "./order-watch.ts";

/** An order in one of these changes no more. */
const final: ReadonlySet<OrderStatus> = new Set([OrderStatus.CANCELLED, OrderStatus.COMPLETED]);

/** An order that the caller may see. Refuses with NOT_FOUND for any other, so that nobody learns which there are. */
export async function visibleOrder(find: FindOrder, id: string, call: Call): Promise<StoredOrder> {
  const order = await find(id, call);
  expectVisible(order, call);
  return order;
}

/** Refuses with NOT_FOUND for an order that the caller may not see. */
export function expectVisible({ state }: StoredOrder, call: Call): void {
  if (!isOwnOrAllowed(OrdersService.method.getOrder, state.customer, call))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such order" });
}

/** A page of the orders that the caller may see, newest first. Refuses with PERMISSION_DENIED for another customer's, and with INVALID_CURSOR. */
export function visibleOrders(queries: Queries, request: ListOrdersRequest, call: Call): Promise<Page<StoredOrder>> {
  return readOrders(queries, request, {
    customer: isAllowedForOthers(OrdersService.method.listOrders, call)
      ? request.customer || undefined
      : ownCustomer(request.customer, call),
    status: request.status,
    createdAfter: request.createdAfter && timestampDate(request.createdAfter),
    createdBefore: request.createdBefore && timestampDate(request.createdBefore),
  });
}

/** The changes of an order that the caller may see, after a version, until it changes no more. */
export async function* watchVisibleOrder(
  { find, watch }: { readonly find: FindOrder; readonly watch: OrderWatch },
  { order: id, afterVersion }: WatchOrderRequest,
  call: Call,
): AsyncGenerator<OrderChange> {
  const order = await visibleOrder(find, id, call);
  if (final.has(order.state.status) && afterVersion >= order.version) return;
  for await (const event of watch.follow(order.id, afterVersion, call.signal)) {
    const change = changeMessage(event);
    yield change;
    if (final.has(change.status)) return;
  }
}

function ownCustomer(requested: string, call: Call): string {
  const { id } = call.signedIn();
  if (requested !== "" && requested !== id)
    throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied", message: "You see your own orders only" });
  return id;
}
