import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { invariants, verify } from "@kontor/kontor/verify/verify.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { liveOrders, sameLines } from "./order-model.ts";
import type { KnownCart, Lines } from "./order-model.ts";
import { as, linesOf, listed, ordersOf, outcomeOf, staff, unitsInStock, Violation } from "./order-world.ts";
import type { World } from "./order-world.ts";

/** What must hold after every step, whatever is under way. */
export async function checkStep(world: World): Promise<void> {
  for (const cart of world.allCarts) {
    const orders = await ordersOf(world, cart);
    for (const order of orders) know(cart, order);
    const live = liveOrders(orders.map(listed));
    if (live.length > 1) throw new Violation("two live orders", `cart ${cart.id} has ${live.map(({ id }) => id).join(" and ")}`);
    for (const order of orders) if (order.status === OrderStatus.PENDING) await checkReservation(world, order);
  }
}

/** An order that nobody has been told of yet, or that is as it was. */
function know(cart: KnownCart, order: Order): void {
  const lines = linesOf(order);
  const known = cart.orders.get(order.id);
  if (known === undefined && !cart.held.some((held) => sameLines(held, lines)))
    throw new Violation("lines", `order ${order.id} has ${text(lines)}, which its cart never had`);
  if (known !== undefined && !sameLines(known.lines, lines))
    throw new Violation("lines", `order ${order.id} had ${text(known.lines)} and has ${text(lines)}`);
  if (known === undefined) cart.orders.set(order.id, { id: order.id, lines, cancelled: false });
}

async function checkReservation({ shop }: World, { id, expiresAt }: Order): Promise<void> {
  const found = await outcomeOf(shop.inventory.getReservation({ order: id }, testCall()));
  if ("refusal" in found) throw new Violation("reservation", `order ${id} has none`);
  const [endsMs, orderMs] = [timestampDate(found.reply.expiresAt!).getTime(), timestampDate(expiresAt!).getTime()];
  if (endsMs < orderMs)
    throw new Violation("reservation", `that of order ${id} ends ${(orderMs - endsMs) / 60_000} minutes before the order`);
}

/** What must hold when nothing is under way. */
export async function checkSettled(world: World): Promise<void> {
  await checkStep(world);
  const orders = (await Promise.all(world.allCarts.map((cart) => ordersOf(world, cart)))).flat();
  await checkStock(world, orders);
  await checkMoney(world, orders);
  for (const cart of world.allCarts) await checkCart(world, cart);
}

/** What verify checks. */
async function checkInvariants(world: World): Promise<void> {
  const { databases, clock } = world.shop;
  // Mails need services that are not here.
  const only = invariants.map(({ id }) => id).filter((id) => id !== "I7");
  const findings = await verify(databases, { now: () => clock.now(), only });
  for (const { id, breaches } of findings) if (breaches.length > 0) throw new Violation(id, breaches.join("; "));
}

/** Units are held for live orders and gone with paid ones; all others are there. */
async function checkStock({ shop, skus }: World, orders: readonly Order[]): Promise<void> {
  const { items } = await shop.inventory.listStock({ sku: [...skus] }, staff());
  for (const { sku, onHand, reserved } of items) {
    const expectedReserved = unitsOf(orders, sku, [OrderStatus.PENDING]);
    const expectedOnHand = unitsInStock - unitsOf(orders, sku, [OrderStatus.PAID, OrderStatus.COMPLETED]);
    if (onHand !== expectedOnHand || reserved !== expectedReserved)
      throw new Violation(
        "stock",
        `${onHand} of ${sku} on hand and ${reserved} reserved; the orders say ${expectedOnHand} and ${expectedReserved}`,
      );
  }
}

function unitsOf(orders: readonly Order[], sku: string, statuses: readonly OrderStatus[]): number {
  return orders.filter(({ status }) => statuses.includes(status)).reduce((sum, order) => sum + (linesOf(order).get(sku) ?? 0), 0);
}

/** The shop has the money of paid orders, once, and of no others. */
async function checkMoney({ shop, ledger }: World, orders: readonly Order[]): Promise<void> {
  let expected = 0n;
  for (const { id, status, total, payment } of orders) {
    const due = status === OrderStatus.PAID || status === OrderStatus.COMPLETED ? moneyFrom(total!).minor : 0n;
    expected += due;
    const found = await outcomeOf(shop.payments.getPayment({ payment: payment!.id }, staff()));
    // One that was cancelled while it was placed has none.
    const { captured, refunded } = "reply" in found ? found.reply : {};
    const [taken, returned] = [captured, refunded].map((money) => (money === undefined ? 0n : moneyFrom(money).minor)) as [bigint, bigint];
    if (taken - returned !== due)
      throw new Violation("money", `${OrderStatus[status]} order ${id}: ${taken} captured and ${returned} refunded of ${total!.amount}`);
  }
  const now = shop.provider.ledger();
  const kept = now.taken - ledger.taken - (now.returned - ledger.returned);
  if (kept !== expected) throw new Violation("money", `the provider has ${kept} for orders of ${expected}`);
}

/** A cart has what its shopper put in and has not bought. */
async function checkCart({ shop }: World, cart: KnownCart): Promise<void> {
  const found = await outcomeOf(shop.carts.getCart({ cart: cart.id }, as(cart.customer)));
  const lines: Lines = "reply" in found ? new Map(found.reply.lines.map(({ sku, quantity }) => [sku, quantity])) : new Map();
  if (!sameLines(lines, cart.lines)) throw new Violation("cart", `${cart.id} has ${text(lines)} instead of ${text(cart.lines)}`);
}

/** A day later nothing is open any more, and what was confirmed has come true. */
export async function checkEnded(world: World): Promise<void> {
  await checkSettled(world);
  await checkInvariants(world);
  for (const cart of world.allCarts)
    for (const { id, status } of await ordersOf(world, cart)) {
      if (status === OrderStatus.PENDING || status === OrderStatus.PAID)
        throw new Violation("open", `order ${id} is still ${OrderStatus[status]} after its day`);
      if (cart.orders.get(id)!.cancelled && status !== OrderStatus.CANCELLED)
        throw new Violation("cancelled", `order ${id} was to be cancelled and is ${OrderStatus[status]}`);
    }
}

export function text(lines: Lines): string {
  return lines.size === 0 ? "nothing" : Array.from(lines, ([sku, quantity]) => `${quantity} × ${sku}`).join(", ");
}
