import { asOperator } from "./operator.ts";
import type { Operator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import { Shopper } from "./shopper.ts";
import type { Topology } from "./topologies.ts";

/** A shop with one of everything that a path can name, and people who may and may not see it. */
export interface ShopWithData {
  readonly shop: ShopProcess;
  readonly admin: Shopper;
  /** The owner of all of it. */
  readonly ada: Shopper;
  readonly eve: Shopper;
  readonly guest: Shopper;
  /** By the names that paths use: product, order, cart … */
  readonly ids: Readonly<Record<string, string>>;
}

export interface ShopWithDataOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** One process by default. */
  readonly topology?: Topology;
  /** What else is to be made through the services themselves, without the gateway. */
  readonly prepare?: (operator: Operator, shop: ShopProcess) => Promise<void>;
}

export async function openShopWithData({ env = {}, topology, prepare }: ShopWithDataOptions = {}): Promise<ShopWithData> {
  const shop = await startShop(env, topology);
  const [admin, ada, eve, sku] = await asOperator(shop.environment, async (operator) => {
    const [boss] = await operator.shoppers(shop, 1, ["admin"]);
    const [first, second] = await operator.shoppers(shop, 2);
    const [made] = await operator.products([1_000]);
    await prepare?.(operator, shop);
    return [boss!, first!, second!, made!] as const;
  });
  const lines = [{ sku, quantity: 1 }];
  const { body: category } = await admin.expect(201, "POST", "/v1/categories", { json: { name: "Things" } });
  const cart = await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines } });
  const { body: order } = await ada.order(lines);
  const { body: products } = await admin.expect(200, "GET", "/v1/products");
  const { body: sessions } = await ada.expect(200, "GET", "/v1/sessions");
  const ids = {
    product: products.items[0].id as string,
    category: category.id as string,
    cart: cart.body.id as string,
    line: cart.body.lines[0].id as string,
    order: order.id as string,
    payment: order.payment.id as string,
    secret: new URL(order.payment.url).pathname.split("/").at(-1)!,
    session: sessions.items[0].id as string,
    provider: "builtin",
    sku,
  };
  return { shop, admin, ada, eve, guest: new Shopper(shop), ids };
}
