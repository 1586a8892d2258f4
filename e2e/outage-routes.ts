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

/** Works as ever; is refused with a 503; is taken on and done later, when what is away has come back: an order answered with 202, a mail that does not come yet. */
export type Outcome = "works" | "refused" | "late";

/** What a shopper holds in hand when something goes away. */
export interface Hands {
  readonly shopper: Shopper;
  readonly sku: string;
  readonly cart: string;
  /** One that waits for its payment. */
  readonly order: { readonly id: string; readonly paymentUrl: string };
}

/** How long a response may take: from what works, as a refusal of what does not, or as advice to retry later. */
const answerWithinMs = Number(process.env["KONTOR_ANSWER_MS"] ?? 3_000);
/** In how long what was late must be done once everything is back. */
const doneWithinMs = 20_000;

/** In how long all must work again once everything is back. */
const wellWithinMs = 10_000;

/** Prepares a shopper for one row of the table, as soon as nothing of the row before is missing any more: callers find out by trying. */
export async function fillHands(open: OutageShop): Promise<Hands> {
  const hands = await patiently(() => handsOf(open));
  for (const route of Object.keys(tries) as Tried[]) await patiently(() => tries[route](hands));
  return handsOf(open);
}

async function handsOf({ shoppers, sku }: OutageShop): Promise<Hands> {
  const [shopper] = shoppers as [Shopper];
  const json = { currency: "EUR", lines: [{ sku, quantity: 1 }] };
  const cart = await shopper.expect(201, "POST", "/v1/carts", { json });
  const placed = await shopper.expect(201, "POST", "/v1/orders", { json, key: randomUUID() });
  return { shopper, sku, cart: cart.body.id, order: { id: placed.body.id, paymentUrl: placed.body.payment.url } };
}

/** Tries until it is not refused with a 503 any more. */
async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (const startMs = performance.now(); ; await pause(50))
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof assert.AssertionError && error.actual === 503) || performance.now() - startMs > wellWithinMs) throw error;
    }
}

type Tried = Exclude<Route, "mail">;

/** Each thing a shopper does. Throws when an answer is another than when all is well. */
const tries: Readonly<Record<Tried, (hands: Hands) => Promise<void>>> = {
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
  checkout: async (hands) => void (await checkOut(hands, 201)),
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

const checkOut = ({ shopper, cart }: Hands, status: 201 | 202): Promise<Answer> =>
  shopper.expect(status, "POST", "/v1/orders", { json: { cart }, key: randomUUID() });

/**
 * Does everything once while something is away, and asserts of each that it goes as the table says. Gives what is to be asserted once that is back:
 * what was late has come.
 */
export async function assertRoutes(
  hands: Hands,
  expected: Partial<Readonly<Record<Route, Outcome>>>,
  note: (text: string) => void,
): Promise<() => Promise<void>> {
  const { shopper, order } = hands;
  const stranger = expected.login === undefined ? await registration(shopper) : undefined;
  const times: string[] = [];
  let checkout: string | undefined;
  for (const route of Object.keys(tries) as Tried[]) {
    const outcome = expected[route] ?? "works";
    const startMs = performance.now();
    if (outcome === "works") await tries[route](hands);
    else if (outcome === "refused") await assert.rejects(tries[route](hands), ({ actual }: assert.AssertionError) => actual === 503);
    else checkout = (await checkOut(hands, 202)).headers.get("location")!;
    const ms = Math.round(performance.now() - startMs);
    times.push(`${route} ${ms}`);
    assert(ms <= answerWithinMs, `ms: ${times.join(", ")}`);
  }
  note(`ms: ${times.join(", ")}`);
  // Who cannot register has paid for an order.
  const subject = stranger === undefined ? `Your order ${order.id} is paid` : "Your code for Kontor";
  const mail = async (): Promise<boolean> => (await (stranger ?? shopper).inbox()).some((one) => one.subject === subject);
  if (expected.mail === undefined) await soon(mail, subject);
  else assert.equal(await mail(), false, "the mail is late");
  return async () => {
    await soon(mail, subject);
    if (expected.pay === undefined) await shopper.until(order.id, "PAID");
    if (checkout !== undefined) await soon(async () => (await shopper.expect(200, "GET", checkout)).body.status === "PLACED", checkout);
  };
}

async function soon(done: () => Promise<boolean>, what: string): Promise<void> {
  for (const startMs = performance.now(); !(await done()); await pause(25))
    assert(performance.now() - startMs < doneWithinMs, `it does not come: ${what}`);
}

/** Somebody new, to whom a mail is on its way. */
async function registration({ places }: Shopper): Promise<Shopper> {
  const stranger = new Shopper(places);
  const json = { email: stranger.email, password: stranger.password, name: "Bea Shopper" };
  await stranger.expect(201, "POST", "/v1/register", { json });
  return stranger;
}
