import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { keyedPerResource } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { addLine } from "./add-line.ts";
import { cartKey, removeLine, setQuantity, take } from "./cart.ts";
import type { Carts, Holder, ReadCart } from "./cart-store.ts";
import { createCart } from "./create-cart.ts";
import { mergeCarts } from "./merge-carts.ts";
import { priced } from "./price-cart.ts";

export function cartsRoute({ carts, clients, ids }: Pick<ServiceContext, "clients" | "ids"> & { readonly carts: Carts }): Route {
  const catalog = clients.of("catalog", CatalogService);
  const newId = () => ids.next("lin");
  const needs = { carts, catalog, newId };
  const holder = (id: string, call: Call): Holder => ({ id, account: call.user?.id });
  const reply = (id: string, read: ReadCart, call: Call) => priced(catalog, id, read, call);

  return implement(CartsService, {
    createCart: createCart(needs),
    getCart: async ({ cart: id }, call) => reply(id, await carts.read(holder(id, call)), call),
    deleteCart: async ({ cart: id }, call) => {
      await carts.delete(holder(id, call));
      return {};
    },
    addLine: keyedPerResource(addLine(needs)),
    updateLine: keyedPerResource(async ({ cart: id, line, quantity }, call, key, seen) =>
      reply(id, await carts.change(holder(id, call), (before) => setQuantity(before, line, quantity), { seen, key }), call),
    ),
    deleteLine: keyedPerResource(async ({ cart: id, line }, call, key) => {
      await carts.change(holder(id, call), (before) => removeLine(before, line), { key });
      return {};
    }),
    mergeCart: keyedPerResource(async ({ cart: id, from }, call, key) =>
      reply(id, await mergeCarts(carts, { into: id, from, account: call.signedIn().id, key, newId }), call),
    ),
    getCartForCheckout: async ({ cart: id }, call) => {
      const account = call.signedIn().id;
      const { cart, version } = await carts.change({ id, account }, (before) => take(before, account));
      return { key: cartKey(id), version, currency: cart.currency, lines: cart.lines.map(({ sku, quantity }) => ({ sku, quantity })) };
    },
    removeOrdered: async (ordered) => {
      await carts.removeOrdered(ordered);
      return {};
    },
  });
}
