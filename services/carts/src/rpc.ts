import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { Cart } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { addUnits, cartKey, removeLine, setQuantity } from "./cart.ts";
import type { StoredCart } from "./cart.ts";
import type { Carts, ReadCart } from "./cart-store.ts";
import { expectBuyable, pricedCart, pricesOf } from "./price-cart.ts";

export function cartsRoute({ carts, clients, ids }: Pick<Surroundings, "clients" | "ids"> & { readonly carts: Carts }): Route {
  const catalog = clients.of("catalog", CatalogService);
  const newId = () => ids.next("lin");
  const priced = async (id: string, read: ReadCart, call: Call): Promise<Cart> => {
    const skus = read.cart.lines.map(({ sku }) => sku);
    return pricedCart(id, read, await pricesOf(catalog, skus, call));
  };

  return implement(CartsService, {
    createCart: async ({ currency, lines }, call) => {
      const skus = lines.map(({ sku }) => sku);
      const prices = await pricesOf(catalog, skus, call);
      let cart: StoredCart = { currency, customer: call.user?.id ?? null, lines: [] };
      for (const [at, { sku, quantity }] of lines.entries()) {
        expectBuyable(prices, sku, currency, `lines[${at}].sku`);
        cart = addUnits(cart, { sku, quantity, newId });
      }
      const id = secretId("crt");
      return pricedCart(id, await carts.insert(id, cart), prices);
    },
    getCart: async ({ cart }, call) => priced(cart, await carts.read(cart, call.user?.id), call),
    deleteCart: async ({ cart }, call) => {
      await carts.delete(cart, call.user?.id);
      return {};
    },
    addLine: async ({ cart: id, version, sku, quantity }, call) => {
      const { cart } = await carts.read(id, call.user?.id);
      expectBuyable(await pricesOf(catalog, [sku], call), sku, cart.currency, "sku");
      return priced(id, await carts.change(id, call.user?.id, version, (before) => addUnits(before, { sku, quantity, newId })), call);
    },
    updateLine: async ({ cart: id, line, version, quantity }, call) =>
      priced(id, await carts.change(id, call.user?.id, version, (before) => setQuantity(before, line, quantity)), call),
    deleteLine: async ({ cart: id, line }, call) => {
      await carts.change(id, call.user?.id, undefined, (before) => removeLine(before, line));
      return {};
    },
    mergeCart: async ({ cart: id, from }, call) => {
      const account = call.signedIn().id;
      const { cart: source } = await carts.read(from, account);
      const merged = await carts.change(id, account, undefined, (before) =>
        source.lines.reduce<StoredCart>((cart, { sku, quantity }) => addUnits(cart, { sku, quantity, newId }), { ...before, customer: account }),
      );
      await carts.delete(from, account);
      return priced(id, merged, call);
    },
    getCartForCheckout: async ({ cart: id }, call) => {
      const account = call.signedIn().id;
      const read = await carts.read(id, account);
      const { cart } = read.cart.customer === null ? await carts.change(id, account, undefined, (before) => ({ ...before, customer: account })) : read;
      return { key: cartKey(id), currency: cart.currency, lines: cart.lines.map(({ sku, quantity }) => ({ sku, quantity })) };
    },
  });
}
