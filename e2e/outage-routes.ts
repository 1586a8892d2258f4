import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { OutageShop } from "./outage-shop.ts";
import { Shopper } from "./shopper.ts";
import type { Answer } from "./shopper.ts";

/** What shoppers do, each by itself, as the resiliency matrix names it. */
export const routes = ["browse", "search", "cart", "checkout", "pay", "order view", "login", "mail"] as const;
export type Route = (typeof routes)[number];

/** Works as ever; is refused with a 503 that says when to come back; is taken on and done later, when what is away has come back. */
export type Outcome = "works" | "refused" | "late";

/** What a shopper holds in hand when something goes away. */
export interface Hands {
  readonly shopper: Shopper;
  readonly sku: string;
  readonly cart: string;
  /** One that waits for its payment. */
  readonly order: { readonly id: string; readonly paymentUrl: string };
}

/** In how long whatever works must be answered, and whatever does not must be refused. */
const answerWithinMs = Number(process.env["KONTOR_ANSWER_MS"] ?? 3_000);
const mailWithinMs = 15_000;

/** In how long all must work again once everything is back. */
const wellWithinMs = 10_000;

/** Prepares a shopper for one row of the table, as soon as nothing of the row before is missing any more. */
export async function fillHands({ shoppers, sku }: OutageShop): Promise<Hands> {
  const [shopper] = shoppers as [Shopper];
  const json = { currency: "EUR", lines: [{ sku, quantity: 1 }] };
  const cart = await soon(shopper, "/v1/carts", json);
  const placed = await soon(shopper, "/v1/orders", json);
  return { shopper, sku, cart: cart.body.id, order: { id: placed.body.id, paymentUrl: placed.body.payment.url } };
}

/** Asks until it is not refused with a 503 any more. */
async function soon(shopper: Shopper, path: string, json: unknown): Promise<Answer> {
  const key = randomUUID();
  for (const startMs = performance.now(); ; await pause(50)) {
    const answer = await shopper.call("POST", path, { json, key });
    if (answer.status === 201) return answer;
    assert(answer.status === 503 && performance.now() - startMs < wellWithinMs, `POST ${path}: ${answer.status} ${answer.text}`);
  }
}

/** Each thing a shopper does. Throws when an answer is another than when all is well. */
const tries: Readonly<Record<Exclude<Route, "mail">, (hands: Hands) => Promise<void>>> = {
  browse: async ({ shopper }) => {
    const { body } = await shopper.expect(200, "GET", "/v1/products?limit=5");
    await shopper.expect(200, "GET", `/v1/products/${body.items[0].id}`);
  },
  search: async ({ shopper, sku }) => {
    const { body } = await shopper.expect(200, "GET", `/v1/products?q=${encodeURIComponent(sku)}`);
    assert.equal(body.items[0]?.title, `Thing ${sku}`);
  },
  cart: async ({ shopper, sku }) => {
    const cart = await shopper.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 2 }] } });
    const seen = await shopper.expect(200, "GET", `/v1/carts/${cart.body.id}`);
    assert.equal(seen.body.lines[0].quantity, 2);
  },
  checkout: async ({ shopper, cart }) => {
    const placed = await shopper.expect(201, "POST", "/v1/orders", { json: { cart }, key: randomUUID() });
    assert.equal(placed.body.status, "PENDING");
  },
  pay: async ({ shopper, order }) => {
    const answer = await shopper.pay(order.paymentUrl);
    await answer.arrayBuffer();
    assert.equal(answer.status, 303);
  },
  "order view": async ({ shopper, order }) => {
    await shopper.expect(200, "GET", `/v1/orders/${order.id}`);
    const { body } = await shopper.expect(200, "GET", "/v1/orders");
    assert.ok(body.items.length > 0);
  },
  login: async ({ shopper }) => void (await shopper.login()),
};

/**
 * Does everything once while something is away, and asserts of each that it goes as the table says. Gives what is to be asserted once that is back:
 * what came late has come.
 */
export async function assertRoutes(
  hands: Hands,
  expected: Partial<Readonly<Record<Route, Outcome>>>,
  note: (text: string) => void,
): Promise<() => Promise<void>> {
  const mail = expected.mail ?? "works";
  const register = expected.login !== "refused" && mail !== "refused" ? await registration(hands.shopper) : undefined;
  const times: string[] = [];
  for (const [route, attempt] of Object.entries(tries) as [Exclude<Route, "mail">, (hands: Hands) => Promise<void>][]) {
    const outcome = expected[route] ?? "works";
    const startMs = performance.now();
    const failure = await attempt(hands).then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const ms = Math.round(performance.now() - startMs);
    times.push(`${route} ${ms}`);
    if (outcome === "works") {
      if (failure !== undefined) throw new Error(`${route} does not work`, { cause: failure.error });
    } else {
      assert(failure !== undefined, `${route} works`);
      const { error } = failure;
      assert(
        error instanceof assert.AssertionError && error.actual === 503,
        new Error(`${route} is not refused with 503`, { cause: error }),
      );
    }
    assert(ms <= answerWithinMs, `${route} took ${ms} ms: ${times.join(", ")}`);
  }
  note(`ms: ${times.join(", ")}`);
  // Who cannot register has a mail coming for the order that was paid for before: see `pay`.
  const subject = register === undefined ? `Your order ${hands.order.id} is paid` : "Your code for Kontor";
  const to = register ?? hands.shopper;
  const has = async (): Promise<boolean> => (await to.inbox()).some((one) => one.subject === subject);
  const comes = async (): Promise<void> => {
    const startMs = performance.now();
    while (!(await has())) {
      assert(performance.now() - startMs < mailWithinMs, `the mail "${subject}" does not come`);
      await pause(25);
    }
  };
  if (mail === "works") await comes();
  else assert.equal(await has(), false, "the mail is late");
  return async () => {
    await comes();
    if (expected.pay === undefined) await hands.shopper.until(hands.order.id, "PAID");
  };
}

/** Somebody new, to whom a mail is on its way. */
async function registration({ places }: Shopper): Promise<Shopper> {
  const stranger = new Shopper(places);
  const json = { email: stranger.email, password: stranger.password, name: "Bea Shopper" };
  await stranger.expect(201, "POST", "/v1/register", { json });
  return stranger;
}
