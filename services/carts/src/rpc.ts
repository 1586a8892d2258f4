import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { Cart } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { addUnits, cartKey, removeLine, setQuantity, take } from "./cart.ts";
import type { StoredCart } from "./cart.ts";
import type { Carts, Holder, ReadCart } from "./cart-store.ts";
import { mergeCarts } from "./merge-carts.ts";
import { expectBuyable, pricedCart, pricesOf } from "./price-cart.ts";
import type { Prices } from "./price-cart.ts";

export function cartsRoute({ carts, clients, ids }: Pick<ServiceContext, "clients" | "ids"> & { readonly carts: Carts }): Route {
  const catalog = clients.of("catalog", CatalogService);
  const newId = () => ids.next("lin");
  const holder = (id: string, call: Call): Holder => ({ id, account: call.user?.id });
  const skusOf = ({ cart }: ReadCart) => cart.lines.map(({ sku }) => sku);
  const priced = async (id: string, read: ReadCart, call: Call): Promise<Cart> =>
    pricedCart(id, read, await pricesOf(catalog, skusOf(read), call));

  return implement(CartsService, {
    createCart: async ({ currency, lines }, call) => {
      const prices = await pricesOf(
        catalog,
        lines.map(({ sku }) => sku),
        call,
      );
      let cart: StoredCart = { currency, customer: call.user?.id ?? null, lines: [] };
      for (const [at, { sku, quantity }] of lines.entries()) {
        expectBuyable(prices, sku, currency, `lines[${at}].sku`);
        cart = addUnits(cart, { sku, quantity, newId });
      }
      const id = secretId("crt");
      return pricedCart(id, await carts.insert(id, cart), prices);
    },
    getCart: async ({ cart: id }, call) => priced(id, await carts.read(holder(id, call)), call),
    deleteCart: async ({ cart: id }, call) => {
      await carts.delete(holder(id, call));
      return {};
    },
    addLine: async ({ cart: id, version, sku, quantity }, call) => {
      const read = await carts.read(holder(id, call));
      const asked: ReadonlySet<string> = new Set([...skusOf(read), sku]);
      const prices: Prices = await pricesOf(catalog, [...asked], call);
      expectBuyable(prices, sku, read.cart.currency, "sku");
      const changed = await carts.change(holder(id, call), (before) => addUnits(before, { sku, quantity, newId }), { version, read });
      // Others may have put in what has not been asked for.
      return skusOf(changed).every((each) => asked.has(each)) ? pricedCart(id, changed, prices) : priced(id, changed, call);
    },
    updateLine: async ({ cart: id, line, version, quantity }, call) =>
      priced(id, await carts.change(holder(id, call), (before) => setQuantity(before, line, quantity), { version }), call),
    deleteLine: async ({ cart: id, line }, call) => {
      await carts.change(holder(id, call), (before) => removeLine(before, line));
      return {};
    },
    mergeCart: async ({ cart: id, from }, call) =>
      priced(id, await mergeCarts(carts, { into: id, from, account: call.signedIn().id, newId }), call),
    getCartForCheckout: async ({ cart: id }, call) => {
      const account = call.signedIn().id;
      const { cart } = await carts.change({ id, account }, (before) => take(before, account));
      return { key: cartKey(id), currency: cart.currency, lines: cart.lines.map(({ sku, quantity }) => ({ sku, quantity })) };
    },
  });
}
