import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import type { HeldCall } from "./interrupted-rpc.ts";
import type { ModelShop } from "./model-shop.ts";
import { changed, newCart, withoutOrdered } from "./order-model.ts";
import type { KnownCart, Lines, ListedOrder } from "./order-model.ts";

/** Something that breaks what the reference model, or verify, expects. */
export class Violation extends Error {
  /** What it is about, in a few words. */
  readonly kind: string;

  constructor(kind: string, text: string) {
    super(`${kind}: ${text}`);
    this.kind = kind;
  }
}

/** What a shopper or time has begun, and stands still at a held call. */
export interface UnderWay {
  readonly cart: KnownCart | undefined;
  readonly ended: Promise<void>;
  held: HeldCall;
}

/** One sequence in a shop: carts, SKUs and customers of its own. */
export interface World {
  readonly shop: ModelShop;
  readonly skus: readonly [string, string];
  /** Those that steps name. */
  readonly carts: KnownCart[];
  /** Those of before as well: a cart that was paid is followed by another. */
  readonly allCarts: KnownCart[];
  readonly underWay: UnderWay[];
  /** How often something has stood still. */
  pauses: number;
  /** The ids of orders whose lines have left their cart. */
  readonly left: Set<string>;
  /** What the provider's ledger said when it began. */
  readonly ledger: ReturnType<ModelShop["provider"]["ledger"]>;
}

export const unitsInStock = 6;
let worlds = 0;

/** Begins a sequence: two carts of one unit each, of a SKU of which there are few. */
export async function openWorld(shop: ModelShop): Promise<World> {
  const nth = ++worlds;
  const skus = [`A-${nth}`, `B-${nth}`] as const;
  await shop.inventory.importStock({ stock: skus.map((sku) => ({ sku, onHand: unitsInStock })) }, testCall());
  const world: World = {
    shop,
    skus,
    carts: [],
    allCarts: [],
    underWay: [],
    pauses: 0,
    left: new Set(),
    ledger: shop.provider.ledger(),
  };
  for (const slot of [0, 1]) await replaceCart(world, slot);
  shop.deliveries.forget();
  // A cart loses what was paid when it hears of it, or when its next order asks for that.
  shop.deliveries.applied = (service, { data }) => {
    if (service !== "carts") return;
    const { order } = data as unknown as { order: { order: string; customer: string; lines: Order["lines"]; cancelling: boolean } };
    if (!order.cancelling) leave(world, order.order, linesOf(order));
  };
  shop.calls.observed = (method, request) => {
    if (method !== "carts.removeOrdered") return;
    const { order, lines } = request as { order: string; lines: Order["lines"] };
    leave(world, order, linesOf({ lines }));
  };
  return world;
}

/** The lines of a paid order leave its cart, once; not those of one that was about to be cancelled when it was paid. */
function leave({ allCarts, left }: World, order: string, lines: Lines): void {
  const cart = allCarts.find(({ orders }) => orders.has(order));
  if (cart === undefined || left.has(order)) return;
  left.add(order);
  changed(cart, withoutOrdered(cart.lines, lines));
}

/** A new cart in the place of one that is not there any more. */
export async function replaceCart(world: World, slot: number): Promise<KnownCart> {
  const customer = `usr_${world.skus[0]}_${world.allCarts.length}`;
  const lines = new Map([[world.skus[0], 1]]);
  const { id } = await world.shop.carts.createCart({ currency: "EUR", lines: [{ sku: world.skus[0], quantity: 1 }] }, as(customer));
  const cart = newCart(id, customer, lines);
  world.carts[slot] = cart;
  world.allCarts.push(cart);
  return cart;
}

export function as(customer: string, options: { readonly key?: string; readonly timeoutMs?: number } = {}): Call {
  const { key, timeoutMs } = options;
  const user = { id: customer, verified: true };
  return testCall({ user, ...(key !== undefined && { idempotencyKey: key }), ...(timeoutMs !== undefined && { timeoutMs }) });
}

export const staff = (): Call => testCall({ user: { id: "usr_admin", roles: ["admin"] } });

export function linesOf({ lines }: Pick<Order, "lines">): Lines {
  const units = new Map<string, number>();
  for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity);
  return units;
}

export async function ordersOf({ shop }: World, cart: KnownCart): Promise<readonly Order[]> {
  return (await shop.orders.listOrders({ limit: 100 }, as(cart.customer))).items;
}

export function listed({ id, status, cancelling }: Order): ListedOrder {
  return { id, status: OrderStatus[status] as ListedOrder["status"], cancelling };
}

/** What a call came to: a fault, which nobody expects, is thrown. */
export async function outcomeOf<T>(work: Promise<T>): Promise<{ readonly reply: T } | { readonly refusal: Refusal }> {
  try {
    return { reply: await work };
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal === undefined || refusal.reason === "INTERNAL_ERROR") throw error;
    return { refusal };
  }
}
