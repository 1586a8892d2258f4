import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CartSchema } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { Cart } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { CatalogService, PricedVariant } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { add, moneyFrom, moneyTo, times } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { ReadCart } from "./cart-store.ts";

export type Catalog = Client<typeof CatalogService>;
export type Prices = ReadonlyMap<string, PricedVariant>;

/** The catalogue's current prices of these SKUs, without those that cannot be bought. */
export async function pricesOf(catalog: Catalog, skus: readonly string[], call: Call): Promise<Prices> {
  if (skus.length === 0) return new Map();
  const { variants } = await catalog.priceLines({ skus: [...new Set(skus)] }, call);
  return new Map(variants.map((variant) => [variant.sku, variant]));
}

/** Refuses a SKU that cannot be bought, or not in this currency. `field` is its path in the request. */
export function expectBuyable(prices: Prices, sku: string, currency: string, field: string): void {
  const variant = prices.get(sku);
  if (variant === undefined)
    throw refuse({
      reason: "SKU_NOT_FOUND",
      code: "invalid_argument",
      message: `There is nothing with the SKU ${sku} to buy`,
      details: { sku },
      fields: [{ field, reason: "SKU_NOT_FOUND", message: "is not in the catalogue" }],
    });
  if (variant.price!.currency !== currency)
    throw refuse({
      reason: "CURRENCY_MISMATCH",
      code: "failed_precondition",
      message: `${sku} is sold in ${variant.price!.currency}, the cart is in ${currency}`,
      details: { sku, currency: variant.price!.currency },
      fields: [{ field, reason: "CURRENCY_MISMATCH", message: `is sold in ${variant.price!.currency}` }],
    });
}

/** The cart as its holder sees it, priced by the catalogue now. */
export function pricedCart(id: string, { version, cart, expiresAt }: ReadCart, prices: Prices): Cart {
  let total: Money = { currency: cart.currency, minor: 0n };
  const lines = cart.lines.map((line) => {
    const variant = prices.get(line.sku);
    if (variant === undefined || variant.price!.currency !== cart.currency) return { ...line, available: false };
    const lineTotal = times(moneyFrom(variant.price!), line.quantity);
    const units = variant.available ?? line.quantity;
    const available = line.quantity <= units;
    if (available) total = add(total, lineTotal);
    return {
      ...line,
      title: variant.title,
      product: variant.product,
      unitPrice: variant.price!,
      total: moneyTo(lineTotal),
      available,
      ...(!available && { unitsAvailable: Math.max(0, units) }),
    };
  });
  return create(CartSchema, {
    id,
    version,
    currency: cart.currency,
    lines,
    total: moneyTo(total),
    expiresAt: timestampFromDate(expiresAt),
    ...(cart.customer !== null && { customer: cart.customer }),
  });
}

export const skusOf = ({ cart }: ReadCart): string[] => cart.lines.map(({ sku }) => sku);

/** The same, with the prices still to be read. */
export async function priced(catalog: Catalog, id: string, read: ReadCart, call: Call): Promise<Cart> {
  return pricedCart(id, read, await pricesOf(catalog, skusOf(read), call));
}
