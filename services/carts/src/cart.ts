import { createHash } from "node:crypto";
import type { StoredKey } from "@kontor/platform/call/resource-key.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

export interface StoredLine {
  readonly id: string;
  readonly sku: string;
  readonly quantity: number;
}

/** What is stored of a cart. Prices and titles are the catalogue's and read each time. */
export interface StoredCart {
  readonly currency: string;
  /** The account that has taken it; null for a guest's. */
  readonly customer: string | null;
  readonly lines: readonly StoredLine[];
  /** The key of the cart that this one is being merged into: from then on nobody else may change or see it. */
  readonly mergingInto?: string;
  /** The keys of the carts merged last into this one, so that a repeat adds nothing. */
  readonly merged?: readonly string[];
  /** The orders whose lines left it last, so that each takes its lines once. */
  readonly ordered?: readonly string[];
  /** The idempotency keys of its last changes. */
  readonly keys?: readonly StoredKey[];
}

const linesMax = 100;
const quantityMax = 10_000;
const mergedMax = 20;
const orderedMax = 20;
const keysMax = 100;

/** The key under which a cart is stored and shown: its id is a secret, so only the hash is stored anywhere. */
export function cartKey(id: string): string {
  return createHash("sha256").update(id).digest("base64url");
}

/** Puts units of a SKU into the cart: onto its line when it has one. Refuses with CART_FULL. */
export function addUnits(
  cart: StoredCart,
  added: { readonly sku: string; readonly quantity: number; readonly newId: () => string },
): StoredCart {
  const line = cart.lines.find(({ sku }) => sku === added.sku);
  if (line === undefined) {
    if (cart.lines.length >= linesMax) throw full(`A cart holds at most ${linesMax} different things`);
    return { ...cart, lines: [...cart.lines, { id: added.newId(), sku: added.sku, quantity: added.quantity }] };
  }
  return setQuantity(cart, line.id, line.quantity + added.quantity);
}

/** Refuses with NOT_FOUND when the line is not there, with CART_FULL when it is too many. */
export function setQuantity(cart: StoredCart, lineId: string, quantity: number): StoredCart {
  if (quantity > quantityMax) throw full(`A line holds at most ${quantityMax} units`);
  if (!cart.lines.some(({ id }) => id === lineId))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such line" });
  return { ...cart, lines: cart.lines.map((line) => (line.id === lineId ? { ...line, quantity } : line)) };
}

/** The same cart when the line is not there. */
export function removeLine(cart: StoredCart, lineId: string): StoredCart {
  return cart.lines.some(({ id }) => id === lineId) ? { ...cart, lines: cart.lines.filter(({ id }) => id !== lineId) } : cart;
}

/** Takes out what was ordered, once per order: units that were added since stay. The same cart when the order has taken its lines before. */
export function removeOrdered(
  cart: StoredCart,
  { order, lines }: { readonly order: string; readonly lines: readonly Pick<StoredLine, "sku" | "quantity">[] },
): StoredCart {
  const ordered = cart.ordered ?? [];
  if (ordered.includes(order)) return cart;
  const units = new Map<string, number>();
  for (const { sku, quantity } of lines) units.set(sku, (units.get(sku) ?? 0) + quantity);
  const left = cart.lines.map((line) => ({ ...line, quantity: line.quantity - (units.get(line.sku) ?? 0) }));
  return { ...cart, lines: left.filter(({ quantity }) => quantity > 0), ordered: [...ordered, order].slice(-orderedMax) };
}

/** The cart as the account's own; the same when it is already. */
export function take(cart: StoredCart, account: string): StoredCart {
  return cart.customer === account ? cart : { ...cart, customer: account };
}

/** The cart while it is being merged into the one with this key. */
export function closed(cart: StoredCart, mergingInto: string): StoredCart {
  return cart.mergingInto === mergingInto ? cart : { ...cart, mergingInto };
}

/** The cart when it was not merged after all; the same when it was not closed. */
export function reopened(cart: StoredCart): StoredCart {
  const { mergingInto, ...open } = cart;
  return mergingInto === undefined ? cart : open;
}

/** Whether the cart with this key has been merged into this one. */
export function hasMerged(cart: StoredCart, key: string): boolean {
  return cart.merged?.includes(key) === true;
}

/** Adds another cart's lines, once. Refuses with CURRENCY_MISMATCH and CART_FULL. */
export function mergeLines(
  cart: StoredCart,
  from: { readonly key: string; readonly cart: StoredCart; readonly newId: () => string },
): StoredCart {
  if (hasMerged(cart, from.key)) return cart;
  const { currency, lines } = from.cart;
  if (currency !== cart.currency && lines.length > 0)
    throw refuse({
      reason: "CURRENCY_MISMATCH",
      code: "failed_precondition",
      message: `One cart is in ${currency}, the other in ${cart.currency}`,
      details: { currency },
      fields: [{ field: "from", reason: "CURRENCY_MISMATCH", message: `is in ${currency}` }],
    });
  const filled = lines.reduce((all, { sku, quantity }) => addUnits(all, { sku, quantity, newId: from.newId }), cart);
  return { ...filled, merged: [...(cart.merged ?? []), from.key].slice(-mergedMax) };
}

/** The cart with the key of its last change. */
export function withKey(cart: StoredCart, key: StoredKey | undefined): StoredCart {
  return key === undefined ? cart : { ...cart, keys: [...(cart.keys ?? []), key].slice(-keysMax) };
}

/** Whether somebody may see and change the cart: its account, or anyone who knows a guest's. */
export function mayAccess(cart: StoredCart, account: string | undefined): boolean {
  return cart.customer === null || cart.customer === account;
}

function full(message: string): Error {
  return refuse({ reason: "CART_FULL", code: "failed_precondition", message });
}
