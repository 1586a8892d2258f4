import type { NewLine, CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { PlaceOrderRequest } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { add, moneyFrom, moneyTo, times } from "@kontor/contracts/money.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";

/** Far below what SQL's bigint and a provider accept. */
const totalMinorMax = 10n ** 14n;

export interface PriceNeeds {
  readonly carts: Client<typeof CartsService>;
  readonly catalog: Client<typeof CatalogService>;
}

/** What is to be ordered, and of which version of which cart: the key is "" for none. */
export interface OrderContent {
  readonly key: string;
  readonly version: number;
  readonly currency: string;
  readonly lines: readonly NewLine[];
}

/** A line at the catalogue's price now. */
export interface PricedLine {
  readonly sku: string;
  readonly product: string;
  readonly title: string;
  readonly quantity: number;
  readonly unitPrice: { readonly currency: string; readonly amount: string };
  readonly total: { readonly currency: string; readonly amount: string };
}

/**
 * Prices what is to be ordered. This comes before the saga begins and is stored in its input, so that all its steps see the same lines however often
 * they are repeated. Refuses with CART_EMPTY, LINE_UNAVAILABLE and TOTAL_TOO_LARGE.
 */
export const priceContent =
  ({ catalog }: Pick<PriceNeeds, "catalog">) =>
  async ({ currency, lines }: OrderContent, call: Call): Promise<PricedLine[]> => {
    if (lines.length === 0) throw refuse({ reason: "CART_EMPTY", code: "failed_precondition", message: "There is nothing in the cart" });
    const { variants } = await catalog.priceLines({ skus: [...new Set(lines.map(({ sku }) => sku))] }, call);
    const bySku = new Map(variants.filter(({ price }) => price?.currency === currency).map((variant) => [variant.sku, variant]));
    const missing = lines.map(({ sku }) => sku).filter((sku) => !bySku.has(sku));
    if (missing.length > 0)
      throw refuse({
        reason: "LINE_UNAVAILABLE",
        code: "failed_precondition",
        message: `Not to be had in ${currency}: ${missing.join(", ")}`,
        details: { skus: missing },
      });
    let sum = { currency, minor: 0n };
    const priced = lines.map(({ sku, quantity }) => {
      const { product, title, price } = bySku.get(sku)!;
      const total = times(moneyFrom(price!), quantity);
      sum = add(sum, total);
      return { sku, product, title, quantity, unitPrice: { currency, amount: price!.amount }, total: moneyTo(total) };
    });
    if (sum.minor > totalMinorMax)
      throw refuse({
        reason: "TOTAL_TOO_LARGE",
        code: "failed_precondition",
        message: `The total must be at most ${moneyTo({ currency, minor: totalMinorMax }).amount} ${currency}`,
      });
    return priced;
  };

/** Reads the cart, which it takes for the caller, or the lines of the request. Refuses as carts do. */
export async function readContent({ carts }: Pick<PriceNeeds, "carts">, request: PlaceOrderRequest, call: Call): Promise<OrderContent> {
  if (request.cart !== "") return carts.getCartForCheckout({ cart: request.cart }, call);
  return { key: "", version: 0, currency: request.currency, lines: request.lines };
}
