import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order, OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CartsService, NewLine } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { HoldingSaga, SagaResult, Sagas } from "@kontor/platform/saga/saga.ts";
import type { PlaceOrder } from "./place-order.ts";
import type { OrderContent } from "./price-order.ts";

export interface JoinNeeds {
  readonly database: Database;
  readonly sagas: Sagas;
  readonly placeOrder: PlaceOrder;
  readonly carts: Client<typeof CartsService>;
  readonly orders: Client<typeof OrdersService>;
}

/** The request that came for a cart which another saga has. `id` is that of the row that stores its key. */
export interface JoiningRequest {
  readonly id: string;
  readonly key: string;
  readonly fingerprint: string;
  readonly call: Call;
}

/**
 * Answers a request for a cart that has a saga already: with its order as it is now, while that waits for its payment. Undefined when the cart is free,
 * because the order has ended: a cancelled one needs it no longer, from a paid one what was ordered is taken out first. The key gets the same result from
 * then on. Refuses with CART_CHANGED when the live order is another than the cart's content would make.
 */
export const joinOrder =
  (needs: JoinNeeds) =>
  async (holder: HoldingSaga<PlaceOrderInput>, content: OrderContent, request: JoiningRequest): Promise<SagaResult<Order> | undefined> => {
    const { sagas, placeOrder } = needs;
    const ended = await sagas.ended(placeOrder, holder.id, request.call);
    // It is still to be undone, and has the cart until then.
    if (ended.status === "refused" && ended.refusal.code === "unavailable") return ended;
    const unchanged = sameUnits(holder.input.lines, content.lines);
    if (ended.status === "refused" && !unchanged) return undefined;
    const now = ended.status === "done" ? await liveOrder(needs, holder, request.call) : ended;
    if (now === undefined) return undefined;
    if (!unchanged) throw cartChanged(holder.input.order);
    return (await sagas.join(placeOrder, request, now)) ? now : undefined;
  };

/** The saga's order as it is now, while it can be paid; undefined when it has ended and its cart is free. */
async function liveOrder(
  { database, sagas, carts, orders }: JoinNeeds,
  { id, input }: HoldingSaga<PlaceOrderInput>,
  call: Call,
): Promise<SagaResult<Order> | undefined> {
  const order = await orders.describeOrder({ order: input.order }, call);
  const isOver = order.cancelling || order.status === OrderStatus.CANCELLED;
  if (!isOver && order.status === OrderStatus.PENDING) return { status: "done", id, reply: order };
  if (!isOver) {
    // The event of its payment may not have arrived at carts: what was bought must not be ordered again.
    const lines = input.lines.map(({ sku, quantity }) => ({ sku, quantity }));
    await carts.removeOrdered({ key: input.cart, order: order.id, lines }, call);
  }
  await sagas.release(database, [id]);
  return undefined;
}

type Units = Pick<NewLine, "sku" | "quantity">;

/** Whether both are the same units, in whatever order and on however many lines. */
function sameUnits(ordered: readonly Units[], now: readonly Units[]): boolean {
  const units = new Map<string, number>();
  for (const { sku, quantity } of ordered) units.set(sku, (units.get(sku) ?? 0) + quantity);
  for (const { sku, quantity } of now) units.set(sku, (units.get(sku) ?? 0) - quantity);
  return [...units.values()].every((left) => left === 0);
}

function cartChanged(order: string): Error {
  return refuse({
    reason: "CART_CHANGED",
    code: "failed_precondition",
    message: `The cart was changed since order ${order} was placed: pay or cancel that one first`,
    details: { order },
  });
}
