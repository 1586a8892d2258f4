import type { Cart, CreateCartRequest } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { addUnits } from "./cart.ts";
import type { StoredCart } from "./cart.ts";
import type { Carts } from "./cart-store.ts";
import { expectBuyable, pricedCart, pricesOf } from "./price-cart.ts";
import type { Catalog } from "./price-cart.ts";

/** Makes a cart with its first lines, the caller's own when signed in. Refuses as `expectBuyable` and `addUnits` do. */
export const createCart =
  ({ carts, catalog, newId }: { readonly carts: Carts; readonly catalog: Catalog; readonly newId: () => string }) =>
  async ({ currency, lines }: CreateCartRequest, call: Call): Promise<Cart> => {
    const skus = lines.map(({ sku }) => sku);
    const prices = await pricesOf(catalog, skus, call);
    let cart: StoredCart = { currency, customer: call.user?.id ?? null, lines: [] };
    for (const [at, { sku, quantity }] of lines.entries()) {
      expectBuyable(prices, sku, currency, `lines[${at}].sku`);
      cart = addUnits(cart, { sku, quantity, newId });
    }
    const id = secretId("crt");
    return pricedCart(id, await carts.insert(id, cart), prices);
  };
