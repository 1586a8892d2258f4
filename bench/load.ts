import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { Connection } from "./http.ts";
import { serveParent } from "./serve-parent.ts";

// The load process: shoppers in closed loops. It knows the shop by HTTP only.

export type Load =
  | {
      readonly run: "orders";
      readonly api: string;
      readonly accounts: readonly { email: string; password: string }[];
      readonly seconds: number;
      readonly products: number;
    }
  | {
      readonly run: "gets";
      readonly api: string;
      readonly connections: number;
      readonly seconds: number;
      readonly paths: readonly string[];
    };

export interface OrdersDone {
  readonly orders: number;
  readonly seconds: number;
  readonly latenciesMs: readonly number[];
  readonly httpCalls: number;
}

export interface GetsDone {
  readonly requests: number;
  readonly perSecond: number;
}

/** An answer that must not be: the run is worth nothing then. */
function expect(status: number, wanted: number, what: string, text: string): void {
  if (status !== wanted) throw new Error(`${what} responded with ${status} instead of ${wanted}: ${text.slice(0, 300)}`);
}

interface Token {
  readonly token: string;
  readonly untilMs: number;
}

/** Tokens by e-mail address: logging in hashes a password, which is not what an order costs. */
const tokens = new Map<string, Token>();
const loginsAtOnce = 8;

/** Logs in those whose token is missing or has used half of its time; a warm-up therefore does it for the run after it. */
async function logIn(api: string, accounts: Extract<Load, { run: "orders" }>["accounts"]): Promise<void> {
  const missing = accounts.filter(({ email }) => (tokens.get(email)?.untilMs ?? 0) < performance.now());
  const worker = async (): Promise<void> => {
    const shop = new Connection(api);
    for (let account = missing.pop(); account !== undefined; account = missing.pop()) {
      const { status, text } = await shop.request("POST", "/v1/login", { json: account });
      expect(status, 200, "login", text);
      const { accessToken, expiresIn } = JSON.parse(text) as { accessToken: string; expiresIn: number };
      tokens.set(account.email, { token: accessToken, untilMs: performance.now() + expiresIn * 500 });
    }
    await shop.close();
  };
  await Promise.all(Array.from({ length: loginsAtOnce }, worker));
}

async function orders({ api, accounts, seconds, products }: Extract<Load, { run: "orders" }>): Promise<OrdersDone> {
  const latenciesMs: number[] = [];
  let httpCalls = 0;
  await logIn(api, accounts);
  const shoppers = accounts.map(({ email }) => ({ shop: new Connection(api), token: tokens.get(email)!.token }));
  const banks = new Map<string, Connection[]>();
  const started = performance.now();
  const ends = started + seconds * 1000;
  await Promise.all(
    shoppers.map(async ({ shop, token }, nth) => {
      const bankOf = (origin: string): Connection => {
        const all = banks.get(origin) ?? [];
        banks.set(origin, all);
        return (all[nth] ??= new Connection(origin));
      };
      for (let turn = 0; performance.now() < ends; turn++) {
        const before = performance.now();
        const sku = (add: number) => `BENCH-${(nth * 131 + turn * 17 + add) % products}`;
        const cart = await shop.request("POST", "/v1/carts", {
          token,
          json: {
            currency: "EUR",
            lines: [
              { sku: sku(0), quantity: 1 },
              { sku: sku(7), quantity: 2 },
            ],
          },
        });
        expect(cart.status, 201, "POST /v1/carts", cart.text);
        const placed = await shop.request("POST", "/v1/orders", {
          token,
          key: randomUUID(),
          json: { cart: (JSON.parse(cart.text) as { id: string }).id },
        });
        expect(placed.status, 201, "POST /v1/orders", placed.text);
        const order = JSON.parse(placed.text) as { id: string; payment: { url: string } };
        const opened = await shop.request("GET", new URL(order.payment.url).pathname);
        expect(opened.status, 303, "GET payment.url", opened.text);
        const page = new URL(opened.location);
        const paid = await bankOf(page.origin).request("POST", page.pathname, { form: "number=4242424242424242" });
        expect(paid.status, 303, "POST the payment page", paid.text);
        httpCalls += 4;
        for (;;) {
          const read = await shop.request("GET", `/v1/orders/${order.id}`, { token, prefer: "wait=10" });
          expect(read.status, 200, "GET /v1/orders/{order}", read.text);
          httpCalls++;
          if ((JSON.parse(read.text) as { status: string }).status === "PAID") break;
          // An older shop does not wait, and responds at once.
          if (read.applied === "") await pause(20);
        }
        latenciesMs.push(performance.now() - before);
      }
    }),
  );
  const took = (performance.now() - started) / 1000;
  await Promise.all([...shoppers.map(({ shop }) => shop.close()), ...[...banks.values()].flat().map((bank) => bank?.close())]);
  return { orders: latenciesMs.length, seconds: took, latenciesMs: latenciesMs.toSorted((a, b) => a - b), httpCalls };
}

async function gets({ api, connections, seconds, paths }: Extract<Load, { run: "gets" }>): Promise<GetsDone> {
  const ends = performance.now() + seconds * 1000;
  let done = 0;
  const before = performance.now();
  await Promise.all(
    Array.from({ length: connections }, async (_, nth) => {
      const connection = new Connection(api);
      for (let turn = nth * 997; performance.now() < ends; turn++) {
        const { status, text } = await connection.request("GET", paths[turn % paths.length]!);
        expect(status, 200, `GET ${paths[turn % paths.length]}`, text);
        done++;
      }
      await connection.close();
    }),
  );
  return { requests: done, perSecond: done / ((performance.now() - before) / 1000) };
}

serveParent({}, async (load: Load) => (load.run === "orders" ? orders(load) : gets(load)));
