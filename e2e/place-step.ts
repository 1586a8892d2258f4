import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { outcomeUnknown } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { expectedOf, liveOrders, sameLines, withoutOrdered } from "./order-model.ts";
import type { Expected, KnownCart, Lines } from "./order-model.ts";
import { as, linesOf, listed, ordersOf, outcomeOf, staff, Violation } from "./order-world.ts";
import type { World } from "./order-world.ts";
import { text } from "./order-checks.ts";

/** Who joins an order that stands still gets "under way" after so long. */
const joinMs = 300;

/** Requests an order for the cart and compares the answer with the model's: exactly when nothing is under way, else as far as it is known. */
export async function placeOrder(world: World, cart: KnownCart, key: string): Promise<void> {
  const { shop } = world;
  const quiet = world.underWay.length === 0;
  const { pauses } = world;
  const expected = await expectation(world, cart, key);
  const from = cart.held.length - 1;
  const call = as(cart.customer, { key: `${cart.id} ${key}`, ...(!quiet && { timeoutMs: joinMs }) });
  const outcome = await outcomeOf(shop.checkout.placeOrder({ cart: cart.id }, call));
  // What has stood still meanwhile, this one too, makes its answer less certain.
  const exactly = quiet && world.pauses === pauses ? expected : undefined;
  const known = cart.keys.get(key);
  const expectAnything = () => {
    if (had === undefined) cart.keys.set(key, "under way");
  };
  const had = typeof known === "object" && "order" in known ? known.order : undefined;
  if ("refusal" in outcome) {
    const live = liveOrders((await ordersOf(world, cart)).map(listed)).map(({ id }) => id);
    if (exactly === undefined && outcomeUnknown(outcome.refusal)) return expectAnything();
    judgeRefusal(outcome.refusal, { had, expected: exactly, cart, live });
    if (known === undefined || known === "under way") cart.keys.set(key, { reason: outcome.refusal.reason });
    return;
  }
  const { outcome: answer } = outcome.reply;
  if (answer.case !== "order") return expectAnything();
  const order = answer.value;
  if (had !== undefined && had !== order.id)
    throw new Violation("key", `key ${key} of cart ${cart.id} had order ${had} and got ${order.id}`);
  cart.keys.set(key, { order: order.id });
  if (had === undefined) await judgeOrder(world, order, { cart, expected: exactly, held: cart.held.slice(from) });
}

/** What the model expects of a request that comes now. */
async function expectation(world: World, cart: KnownCart, key: string): Promise<Expected | undefined> {
  const orders = await ordersOf(world, cart);
  const bought = orders.filter(
    ({ status, cancelling }) => !cancelling && (status === OrderStatus.PAID || status === OrderStatus.COMPLETED),
  );
  const lines = bought.reduce((rest, order) => (world.left.has(order.id) ? rest : withoutOrdered(rest, linesOf(order))), cart.lines);
  const { items } = await world.shop.inventory.listStock({ sku: [...world.skus] }, staff());
  const enough = [...lines].every(([sku, quantity]) => items.some((item) => item.sku === sku && item.available >= quantity));
  return expectedOf(cart, key, { listed: orders.map(listed), lines, enough });
}

interface Refused {
  /** The order that the key has had before. */
  readonly had: string | undefined;
  readonly expected: Expected | undefined;
  readonly cart: KnownCart;
  readonly live: readonly string[];
}

function judgeRefusal({ reason, message, details }: Refusal, { had, expected, cart, live }: Refused): void {
  if (had !== undefined) throw new Violation("key", `a key of cart ${cart.id} had order ${had} and is refused: ${reason}: ${message}`);
  if (expected !== undefined && !expected.reasons.includes(reason))
    throw new Violation("refused", `cart ${cart.id} with ${text(cart.lines)}: ${reason}: ${message}; expected was ${inWords(expected)}`);
  if (reason === "CART_CHANGED" && expected !== undefined && !live.some((id) => JSON.stringify(details ?? {}).includes(id)))
    throw new Violation("refused", `CART_CHANGED names ${JSON.stringify(details)} instead of ${live.join()}`);
}

interface Answered {
  readonly cart: KnownCart;
  readonly expected: Expected | undefined;
  /** What the cart had while the request was under way. */
  readonly held: readonly Lines[];
}

/** The answer names an order that is there, as it is now: one that was to be joined, or a new one of the cart's lines. */
async function judgeOrder(world: World, order: Order, { cart, expected, held }: Answered): Promise<void> {
  const { id, status } = order;
  const isNew = !cart.orders.has(id);
  const lines = linesOf(order);
  if (isNew && !held.some((each) => sameLines(each, lines)))
    throw new Violation("answer", `cart ${cart.id} has ${text(cart.lines)}, its order ${id} ${text(lines)}`);
  if (expected === undefined) return;
  const now = (await ordersOf(world, cart)).find((each) => each.id === id);
  if (now === undefined) throw new Violation("answer", `order ${id} is not there`);
  if (now.status !== status)
    throw new Violation("answer", `order ${id} is ${OrderStatus[now.status]} and was answered as ${OrderStatus[status]}`);
  const right = isNew ? expected.placed !== undefined && sameLines(lines, expected.placed) : expected.joined.includes(id);
  if (!right)
    throw new Violation(
      "answer",
      `cart ${cart.id} with ${text(cart.lines)} got ${isNew ? "a new" : "the"} ${OrderStatus[status]} order ${id} of ${text(lines)}; expected was ${inWords(expected)}`,
    );
}

function inWords({ joined, placed, reasons }: Expected): string {
  return [...joined, ...(placed === undefined ? [] : [`a new order of ${text(placed)}`]), ...reasons].join(" or ");
}
