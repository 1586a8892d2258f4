/** Units by SKU. */
export type Lines = ReadonlyMap<string, number>;

/** What is known of an order besides what the shop says. */
export interface KnownOrder {
  readonly id: string;
  readonly lines: Lines;
  /** The shop has confirmed that it is cancelled, or will be. */
  cancelled: boolean;
}

/** What a shopper has done with a cart, and what was said about it. Each cart has a customer of its own. */
export interface KnownCart {
  readonly id: string;
  readonly customer: string;
  lines: Lines;
  /** All that it has ever held, the newest last. */
  readonly held: Lines[];
  readonly orders: Map<string, KnownOrder>;
  /** What each idempotency key has got. */
  readonly keys: Map<string, KeyAnswer>;
}

/** An order, the reason of a refusal, or that the order is being placed, perhaps: then the key will get whatever comes of that. */
export type KeyAnswer = { readonly order: string } | { readonly reason: string } | "under way";

/** An order as the shop lists it. */
export interface ListedOrder {
  readonly id: string;
  readonly status: "PENDING" | "PAID" | "COMPLETED" | "CANCELLED";
  readonly cancelling: boolean;
}

/** What the shop may answer to a request for an order. */
export interface Expected {
  /** Orders that may be named: these ones as they are now. */
  readonly joined: readonly string[];
  /** What a new one must be of; undefined when there must not be one. */
  readonly placed: Lines | undefined;
  readonly reasons: readonly string[];
}

export function newCart(id: string, customer: string, lines: Lines): KnownCart {
  return { id, customer, lines, held: [lines], orders: new Map(), keys: new Map() };
}

/** The cart holds something else. */
export function changed(cart: KnownCart, lines: Lines): void {
  cart.lines = lines;
  cart.held.push(lines);
}

export function withUnits(lines: Lines, sku: string, quantity: number): Lines {
  const next = new Map(lines);
  if (quantity > 0) next.set(sku, quantity);
  else next.delete(sku);
  return next;
}

/** What is left of a cart when an order of its lines was paid. */
export function withoutOrdered(cart: Lines, ordered: Lines): Lines {
  const entries = Array.from(cart, ([sku, quantity]): [string, number] => [sku, quantity - (ordered.get(sku) ?? 0)]);
  return new Map(entries.filter(([, quantity]) => quantity > 0));
}

export function sameLines(a: Lines, b: Lines): boolean {
  return a.size === b.size && [...a].every(([sku, quantity]) => b.get(sku) === quantity);
}

/** Those that wait for their payment: a cart has one at most. */
export function liveOrders(listed: readonly ListedOrder[]): readonly ListedOrder[] {
  return listed.filter(({ status, cancelling }) => status === "PENDING" && !cancelling);
}

/**
 * What may be answered when nothing else is under way. `listed` are the cart's orders; `lines` is what is in the cart once all that was paid has left it, of
 * which it may not have heard; `enough` says whether there are units for these.
 */
export function expectedOf(
  cart: KnownCart,
  key: string,
  shop: { readonly listed: readonly ListedOrder[]; readonly lines: Lines; readonly enough: boolean },
): Expected | undefined {
  const known = cart.keys.get(key);
  if (known === "under way") return undefined;
  if (known !== undefined && "order" in known) return { joined: [known.order], placed: undefined, reasons: [] };
  const fresh = expectedOfNew(cart, shop);
  return known === undefined ? fresh : { ...fresh, reasons: [...fresh.reasons, known.reason] };
}

function expectedOfNew(cart: KnownCart, { listed, lines, enough }: Parameters<typeof expectedOf>[2]): Expected {
  const [live] = liveOrders(listed);
  if (live !== undefined) {
    const same = sameLines(cart.orders.get(live.id)!.lines, cart.lines);
    return same ? { joined: [live.id], placed: undefined, reasons: [] } : { joined: [], placed: undefined, reasons: ["CART_CHANGED"] };
  }
  if (lines.size === 0) return { joined: [], placed: undefined, reasons: ["CART_EMPTY", "NOT_FOUND"] };
  return enough ? { joined: [], placed: lines, reasons: [] } : { joined: [], placed: undefined, reasons: ["OUT_OF_STOCK"] };
}
