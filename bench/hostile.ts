import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { Connection } from "./http.ts";
import type { Hostile, HostileDone } from "./hostile-kinds.ts";
import { serveParent } from "./serve-parent.ts";

// The hostile process: one caller at full speed, from one address, who cares about no response.

const origin = { "x-forwarded-for": "203.0.113.66" };
const wrong = "not the password";

async function signIn({ api, account }: Hostile): Promise<string> {
  const shop = new Connection(api, origin);
  const { status, text } = await shop.request("POST", "/v1/login", { json: account });
  await shop.close();
  if (status !== 200) throw new Error(`login responded with ${status}: ${text.slice(0, 300)}`);
  return (JSON.parse(text) as { accessToken: string }).accessToken;
}

type Attack = (shop: Connection, turn: number) => Promise<{ readonly status: number }>;

async function attackOf(hostile: Hostile): Promise<Attack> {
  const { kind, products, account } = hostile;
  const place = (token: string, turn: number, quantity: number) => (shop: Connection) =>
    shop.request("POST", "/v1/orders", {
      token,
      key: randomUUID(),
      json: { currency: "EUR", lines: [{ sku: `BENCH-${turn % products}`, quantity }] },
    });
  switch (kind) {
    case "reads":
      return (shop, turn) => shop.request("GET", `/v1/products?q=${encodeURIComponent(`blue ${turn}`)}&limit=100`);
    case "registrations":
      return (shop) =>
        shop.request("POST", "/v1/register", { json: { email: `${randomUUID()}@bench.example`, password: randomUUID(), name: "Hostile" } });
    case "sign-ins":
      return (shop, turn) => shop.request("POST", "/v1/login", { json: { email: `nobody${turn}@bench.example`, password: wrong } });
    case "unpaid orders": {
      const token = await signIn(hostile);
      return (shop, turn) => place(token, turn, 100)(shop);
    }
    case "payment pages": {
      const token = await signIn(hostile);
      const shop = new Connection(hostile.api, origin);
      const { status, text } = await place(token, 0, 1)(shop);
      await shop.close();
      if (status !== 201) throw new Error(`the order of ${account.email} responded with ${status}: ${text.slice(0, 300)}`);
      const page = new URL((JSON.parse(text) as { payment: { url: string } }).payment.url).pathname;
      return (connection) => connection.request("GET", page);
    }
    case "streams": {
      const token = await signIn(hostile);
      const shop = new Connection(hostile.api, origin);
      const { text } = await place(token, 0, 1)(shop);
      await shop.close();
      const { id } = JSON.parse(text) as { id: string };
      return (connection) => connection.open(`/v1/orders/${id}/events`, token);
    }
  }
}

async function attack(hostile: Hostile): Promise<HostileDone> {
  const work = await attackOf(hostile);
  const ends = performance.now() + hostile.seconds * 1_000;
  let [requests, refused] = [0, 0];
  await Promise.all(
    Array.from({ length: hostile.connections }, async (_, nth) => {
      const shop = new Connection(hostile.api, origin);
      for (let turn = nth * 9_973; performance.now() < ends; turn++) {
        const { status } = await work(shop, turn);
        requests++;
        if (status >= 400) refused++;
      }
      await shop.close();
    }),
  );
  return { requests, refused };
}

serveParent({}, attack);
