import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { Moment } from "./interrupted-rpc.ts";
import { checkEnded, checkSettled, checkStep } from "./order-checks.ts";
import { changed, withUnits } from "./order-model.ts";
import type { KnownCart } from "./order-model.ts";
import { as, ordersOf, outcomeOf, replaceCart, staff, Violation } from "./order-world.ts";
import type { World } from "./order-world.ts";
import { placeOrder } from "./place-step.ts";
import type { Pause, Step } from "./order-steps.ts";

const hourMs = 3_600_000;

/** Does one step, has everything go on that can, and checks what must hold then. */
export async function runStep(world: World, step: Step): Promise<void> {
  const { shop } = world;
  const cart = "cart" in step ? world.carts[step.cart] : undefined;
  const pauseAt = "pauseAt" in step ? step.pauseAt : undefined;
  switch (step.do) {
    case "place":
      await begin(world, { cart, pauseAt }, () => placeOrder(world, cart!, String(step.key)));
      break;
    case "cancel":
      await begin(world, { cart, pauseAt }, () => cancel(world, cart!, step.by));
      break;
    case "pass":
      await begin(world, { cart, pauseAt }, async () => {
        shop.clock.advance(step.hours * hourMs);
        await shop.settle();
      });
      break;
    case "change":
      await change(world, step);
      break;
    case "pay":
      await pay(world, cart!, step.webhooks);
      break;
    case "decline":
      await decline(world, cart!);
      break;
    case "continue":
      await goOn(world, pauseAt);
      break;
    case "lose":
      lose(world, step.method);
      break;
    case "late":
      await shop.deliveries.delay(step.service);
      break;
    case "deliver":
      await shop.deliveries.deliver();
      break;
    case "repeat":
      await shop.deliveries.repeat();
      break;
    case "park":
      for (const id of cart!.orders.keys()) shop.deliveries.park(step.service, id);
      break;
    case "replay":
      await shop.deliveries.replay();
      break;
    case "restart":
      await shop.restart(step.service, step.how);
      break;
  }
  if (!quiet.has(step.do)) await shop.settle();
  await checkStep(world);
}

/** Steps that cause nothing by themselves. */
const quiet: ReadonlySet<Step["do"]> = new Set(["change", "lose", "late", "park"]);

interface Paused {
  readonly cart: KnownCart | undefined;
  readonly pauseAt: Pause | undefined;
}

/** Begins something, or has it go on: it ends, or stands still at the call that it is to pause at. */
async function begin(world: World, { cart, pauseAt }: Paused, work: () => Promise<void>): Promise<void> {
  const { calls } = world.shop;
  const [moment, method] = (pauseAt?.split(" ") ?? []) as [Moment?, string?];
  const arrived = calls.nextHeld();
  const release = method === undefined ? () => undefined : calls.holdNext(method, moment!);
  const ended = work();
  const held = await Promise.race([ended.then(() => undefined), arrived]);
  release();
  if (held === undefined) return;
  world.pauses++;
  world.underWay.push({ cart, ended, held });
}

async function goOn(world: World, pauseAt?: Pause): Promise<void> {
  const [first] = world.underWay.splice(0, 1);
  if (first === undefined) return;
  await begin(world, { cart: first.cart, pauseAt }, () => {
    first.held.resume();
    return first.ended;
  });
}

/** Everything goes on and arrives; then what must hold, and the same a day later. */
export async function endSequence(world: World): Promise<void> {
  const { shop } = world;
  shop.calls.clear();
  shop.provider.fault = () => undefined;
  while (world.underWay.length > 0) await goOn(world);
  await shop.deliveries.deliver();
  await shop.deliveries.replay();
  // What was lost is tried again after a while.
  await shop.settle();
  shop.clock.advance(hourMs);
  await shop.settle();
  await checkSettled(world);
  shop.clock.advance(25 * hourMs);
  await shop.settle();
  await checkEnded(world);
}

async function change(world: World, { cart: slot, sku: nth, quantity }: Extract<Step, { do: "change" }>): Promise<void> {
  const { shop, skus } = world;
  let cart = world.carts[slot]!;
  const sku = skus[nth];
  const read = await outcomeOf(shop.carts.getCart({ cart: cart.id }, as(cart.customer)));
  if ("refusal" in read) {
    if (cart.lines.size > 0) throw new Violation("cart", `${cart.id} is gone, with what was put in since`);
    cart = await replaceCart(world, slot);
  }
  const lines = "reply" in read ? read.reply.lines : (await shop.carts.getCart({ cart: cart.id }, as(cart.customer))).lines;
  const line = lines.find((each) => each.sku === sku);
  const call = as(cart.customer);
  if (quantity === 0) {
    if (line !== undefined) await shop.carts.deleteLine({ cart: cart.id, line: line.id }, call);
  } else if (line === undefined) await shop.carts.addLine({ cart: cart.id, sku, quantity }, call);
  else await shop.carts.updateLine({ cart: cart.id, line: line.id, quantity }, call);
  changed(cart, withUnits(cart.lines, sku, quantity));
}

async function cancel(world: World, cart: KnownCart, by: "customer" | "admin"): Promise<void> {
  const orders = await ordersOf(world, cart);
  const order =
    orders.find(({ status }) => status === OrderStatus.PENDING) ?? orders.find(({ status }) => status === OrderStatus.PAID) ?? orders[0];
  if (order === undefined) return;
  const call = by === "customer" ? as(cart.customer) : staff();
  const outcome = await outcomeOf(world.shop.orders.cancelOrder({ order: order.id }, call));
  if ("refusal" in outcome) return allow(outcome.refusal, "ORDER_STATE", "ATTEMPT_UNKNOWN", "DEPENDENCY_UNAVAILABLE");
  const { status, cancelling } = outcome.reply;
  if (status !== OrderStatus.CANCELLED && !cancelling)
    throw new Violation("cancelled", `order ${order.id} was cancelled and is ${OrderStatus[status]}`);
  const known = cart.orders.get(order.id);
  if (known !== undefined) known.cancelled = true;
}

const declined = ["PAYMENT_STATE", "PROVIDER_REFUSED", "ATTEMPT_UNKNOWN", "DEPENDENCY_UNAVAILABLE", "NOT_FOUND"] as const;

/** The shopper's attempt at the newest unpaid order. */
async function attempt(world: World, cart: KnownCart): Promise<{ readonly order: Order; readonly attempt: string } | undefined> {
  const order = (await ordersOf(world, cart)).find(({ status }) => status === OrderStatus.PENDING);
  if (order === undefined) return undefined;
  const outcome = await outcomeOf(world.shop.payments.createAttempt({ payment: order.payment!.id }, as(cart.customer)));
  if ("reply" in outcome) return { order, attempt: outcome.reply.id };
  allow(outcome.refusal, ...declined);
  return undefined;
}

async function pay(world: World, cart: KnownCart, webhooks: number): Promise<void> {
  const { provider } = world.shop;
  const opened = await attempt(world, cart);
  if (opened === undefined || !provider.pay(opened.attempt)) return;
  for (let sent = 0; sent < webhooks; sent++) await hear(world, opened.attempt);
}

async function decline(world: World, cart: KnownCart): Promise<void> {
  const opened = await attempt(world, cart);
  if (opened === undefined) return;
  world.shop.provider.decline(opened.attempt);
  await hear(world, opened.attempt);
}

async function hear({ shop: { payments, provider } }: World, id: string): Promise<void> {
  await payments.receiveWebhook({ provider: provider.name, ...provider.webhook(id) }, testCall());
}

function lose({ shop: { calls, provider } }: World, method: Extract<Step, { do: "lose" }>["method"]): void {
  const [service, operation] = method.split(".");
  if (service !== "provider") return calls.loseNext(method);
  const before = provider.fault;
  provider.fault = (each, key) => {
    if (each !== operation) return before(each, key);
    provider.fault = before;
    return "lost";
  };
}

function allow({ reason, message }: Refusal, ...reasons: readonly string[]): void {
  if (!reasons.includes(reason)) throw new Violation("refused", `${reason}: ${message}`);
}
