import { randomBytes } from "node:crypto";
import type { Answer, Shopper } from "./shopper.ts";
import type { ShopWithData } from "./shop-with-data.ts";

type Ids = Readonly<Record<string, string>>;
type Json = Readonly<Record<string, unknown>>;

/** One request of a writing operation, on resources of its own, and how to see what it has done. */
export interface CommandCase {
  readonly who: Shopper;
  /** The ids in its path. */
  readonly ids: Ids;
  /** Absent: it has no body. */
  readonly json?: Json;
  /** Another body that is as good. Absent where the path is the whole request. */
  readonly other?: Json;
  /** Another resource, for which the same request is as good unless it has a body of its own. */
  readonly elsewhere?: { readonly ids: Ids; readonly json?: Json };
  /** What its effect is seen by, here or elsewhere. */
  readonly effect: (ids: Ids) => Promise<unknown>;
  /** The version of the resource, where the request may name one. */
  readonly version?: number;
}

type MakeCase = () => Promise<CommandCase>;

/** What cases are made of: a shop, and a customer who has not ordered much, for each. */
export interface CommandFixture extends ShopWithData {
  readonly nextCustomer: () => Shopper;
}

/** A case for each writing operation that takes an Idempotency-Key: each call makes resources of its own. */
export function commandCases(fixture: CommandFixture): Readonly<Record<string, MakeCase>> {
  return { ...catalogCases(fixture), ...cartCases(fixture), ...orderCases(fixture), ...paymentCases(fixture) };
}

const named = (): string => `thing-${randomBytes(5).toString("hex")}`;
const bodyOf = (who: Shopper, path: string) => async () => {
  const { status, body } = await who.call("GET", path);
  return status === 200 ? body : status;
};

function catalogCases({ admin, ids: { sku } }: ShopWithData): Record<string, MakeCase> {
  const create = async (path: string, json: Json): Promise<Answer["body"]> => (await admin.expect(201, "POST", path, { json })).body;
  const product = (): Json => ({ title: named(), variants: [{ sku: named(), price: { currency: "EUR", amount: "1.00" } }] });
  const at = (path: string) => (ids: Ids) =>
    bodyOf(
      admin,
      path.replace(/\{(\w+)\}/, (_, name: string) => ids[name]!),
    )();
  const onProduct = async (json?: Json, other?: Json): Promise<CommandCase> => {
    const [one, two] = [await create("/v1/products", product()), await create("/v1/products", product())];
    const ids = { product: one.id };
    return {
      who: admin,
      ids,
      ...(json && { json }),
      ...(other && { other }),
      elsewhere: { ids: { product: two.id } },
      effect: at("/v1/products/{product}"),
      version: one.version,
    };
  };
  const onCategory = async (json?: Json, other?: Json): Promise<CommandCase> => {
    const [one, two] = [await create("/v1/categories", { name: named() }), await create("/v1/categories", { name: named() })];
    const ids = { category: one.id };
    return {
      who: admin,
      ids,
      ...(json && { json }),
      ...(other && { other }),
      elsewhere: { ids: { category: two.id } },
      effect: at("/v1/categories/{category}"),
      version: one.version,
    };
  };
  return {
    "POST /v1/categories": async () => {
      const parent = await create("/v1/categories", { name: named() });
      const list = bodyOf(admin, `/v1/categories?parent=${parent.id}`);
      const json = { name: named(), parent: parent.id };
      return { who: admin, ids: {}, json, other: { ...json, name: named() }, effect: list };
    },
    "PATCH /v1/categories/{category}": () => onCategory({ position: 3 }, { position: 4 }),
    "DELETE /v1/categories/{category}": () => onCategory(),
    "POST /v1/products": async () => {
      const vendor = named();
      const effect = async () => {
        const { body } = await admin.expect(200, "GET", "/v1/products?sort=-createdAt&limit=20");
        return body.items.filter((one: { readonly vendor: string }) => one.vendor === vendor).length;
      };
      return { who: admin, ids: {}, json: { ...product(), vendor }, other: { ...product(), vendor }, effect };
    },
    "PATCH /v1/products/{product}": () => onProduct({ title: "One" }, { title: "Two" }),
    "DELETE /v1/products/{product}": () => onProduct(),
    "POST /v1/products/{product}/publish": () => onProduct({}, { version: 1 }),
    "POST /v1/products/{product}/archive": () => onProduct({}, { version: 1 }),
    "POST /v1/stock/movements": async () => ({
      who: admin,
      ids: {},
      json: { sku, kind: "RECEIVED", quantity: 3 },
      other: { sku, kind: "RECEIVED", quantity: 4 },
      effect: bodyOf(admin, `/v1/stock/${sku}/movements`),
    }),
  };
}

function cartCases({ ada, ids: { sku } }: ShopWithData): Record<string, MakeCase> {
  const cart = async () => (await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } })).body;
  const onCart = async (bodies: Pick<CommandCase, "json" | "other">) => {
    const [one, two] = [await cart(), await cart()];
    const idsOf = (body: Answer["body"]) => ({ cart: body.id as string, line: body.lines[0].id as string });
    return {
      who: ada,
      ids: idsOf(one),
      ...bodies,
      elsewhere: { ids: idsOf(two) },
      effect: (ids: Ids) => bodyOf(ada, `/v1/carts/${ids["cart"]}`)(),
      version: one.version as number,
    };
  };
  return {
    "DELETE /v1/carts/{cart}": () => onCart({}),
    "POST /v1/carts/{cart}/lines": () => onCart({ json: { sku, quantity: 2 }, other: { sku, quantity: 3 } }),
    "PATCH /v1/carts/{cart}/lines/{line}": () => onCart({ json: { quantity: 5 }, other: { quantity: 6 } }),
    "DELETE /v1/carts/{cart}/lines/{line}": () => onCart({}),
    "POST /v1/carts/{cart}/merge": async () => {
      const [from, other, third] = [await cart(), await cart(), await cart()];
      const made = await onCart({ json: { from: from.id }, other: { from: other.id } });
      return { ...made, elsewhere: { ids: made.elsewhere.ids, json: { from: third.id } } };
    },
  };
}

function orderCases({ admin, nextCustomer, ids: { sku } }: CommandFixture): Record<string, MakeCase> {
  const order = async (who: Shopper) => (await who.order([{ sku: sku!, quantity: 1 }])).body;
  const paid = async (who: Shopper) => {
    const placed = await order(who);
    await who.pay(placed.payment.url);
    return (await who.until(placed.id, "PAID")).body;
  };
  const effect = async (ids: Ids) => {
    const { body } = await admin.expect(200, "GET", `/v1/orders/${ids["order"]}`);
    return [body.version, body.status, body.fulfilments];
  };
  const place = async (): Promise<CommandCase> => {
    const who = nextCustomer();
    return {
      who,
      ids: {},
      json: { currency: "EUR", lines: [{ sku, quantity: 1 }] },
      other: { currency: "EUR", lines: [{ sku, quantity: 2 }] },
      effect: async () => (await who.expect(200, "GET", "/v1/orders?limit=100")).body.items.length,
    };
  };
  const onOrder = async (make: typeof order, bodies: Pick<CommandCase, "json" | "other"> & { readonly by?: Shopper }) => {
    const { by, ...bodiesOnly } = bodies;
    const customer = nextCustomer();
    const [one, two] = [await make(customer), await make(customer)];
    return {
      who: by ?? customer,
      ids: { order: one.id as string },
      ...bodiesOnly,
      elsewhere: { ids: { order: two.id as string } },
      effect,
      version: one.version as number,
    };
  };
  return {
    "POST /v1/orders": place,
    "POST /orders": place,
    "POST /v1/orders/{order}/cancel": () => onOrder(order, { json: {}, other: { version: 1 } }),
    "POST /v1/orders/{order}/fulfilments": () =>
      onOrder(paid, { by: admin, json: { carrier: "DHL", tracking: "1" }, other: { carrier: "DHL", tracking: "2" } }),
  };
}

function paymentCases({ admin, nextCustomer, ids: { sku } }: CommandFixture): Record<string, MakeCase> {
  const order = async (who: Shopper) => (await who.order([{ sku: sku!, quantity: 1 }])).body;
  const effect = async (ids: Ids) => {
    const { body } = await admin.expect(200, "GET", `/v1/payments/${ids["payment"]}`);
    return [body.attempts.length, body.refunds.map(({ amount }: Answer["body"]) => amount.amount)];
  };
  const onPayment = async (who: Shopper, bodies: Pick<CommandCase, "json" | "other">): Promise<CommandCase> => {
    const [one, two] = [await order(who), await order(who)];
    const idsOf = ({ payment }: Answer["body"]) => ({ payment: payment.id, secret: new URL(payment.url).pathname.split("/").at(-1)! });
    return { who, ids: idsOf(one), ...bodies, elsewhere: { ids: idsOf(two) }, effect };
  };
  const part = (amount: string) => ({ amount: { currency: "EUR", amount } });
  return {
    "POST /v1/payments/{payment}/attempts": () => onPayment(nextCustomer(), { json: {} }),
    "POST /v1/payments/{payment}/complete": () => onPayment(nextCustomer(), { json: {} }),
    "GET /pay/{secret}": () => onPayment(nextCustomer(), {}),
    "POST /v1/payments/{payment}/refunds": async () => {
      const customer = nextCustomer();
      const made = await onPayment(customer, { json: part("5.00"), other: part("6.00") });
      for (const { payment } of [made.ids, made.elsewhere!.ids]) {
        const { body } = await customer.expect(200, "GET", `/v1/payments/${payment}`);
        await customer.pay(body.url);
        await customer.until(body.order, "PAID");
      }
      return { ...made, who: admin };
    },
  };
}
