import type { AddLineRequest, Cart } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ResourceKey } from "@kontor/platform/call/resource-key.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import { addUnits } from "./cart.ts";
import { isRepeat } from "./cart-store.ts";
import type { Carts, Holder } from "./cart-store.ts";
import { expectBuyable, priced, pricedCart, pricesOf, skusOf } from "./price-cart.ts";
import type { Catalog } from "./price-cart.ts";

/** Adds units of a SKU that can be bought. A repeat adds nothing. Refuses as `Carts.change`, `expectBuyable` and `addUnits` do. */
export const addLine =
  ({ carts, catalog, newId }: { readonly carts: Carts; readonly catalog: Catalog; readonly newId: () => string }) =>
  async ({ cart: id, sku, quantity }: AddLineRequest, call: Call, key: ResourceKey, seen: SeenVersion): Promise<Cart> => {
    const holder: Holder = { id, account: call.user?.id };
    const read = await carts.read(holder);
    // Its goods may have been sold out since.
    if (isRepeat(read, { seen, key })) return priced(catalog, id, read, call);
    const known: ReadonlySet<string> = new Set([...skusOf(read), sku]);
    const prices = await pricesOf(catalog, [...known], call);
    expectBuyable(prices, sku, read.cart.currency, "sku");
    const changed = await carts.change(holder, (before) => addUnits(before, { sku, quantity, newId }), { seen, key, read });
    // Another request may have added a SKU whose price is not known here.
    return skusOf(changed).every((each) => known.has(each)) ? pricedCart(id, changed, prices) : priced(catalog, id, changed, call);
  };
