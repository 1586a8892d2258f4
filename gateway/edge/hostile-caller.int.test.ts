import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { parseRateLimits } from "./rate-limits.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";
import type { TestShop } from "../test-shop.ts";

const WatchService = describeService("kontor.testing.v1.WatchService", {
  watch: {
    input: LineSchema,
    output: ThingSchema,
    allow: [Allow.PUBLIC],
    streams: true,
    http: { pattern: { case: "get", value: "/v1/watch" } },
  },
});
const watching = implement(WatchService, {
  async *watch(_, { signal }) {
    yield { displayName: "tea" };
    if (!signal.aborted) await once(signal, "abort");
  },
});

const from = (address: string) => ({ "X-Forwarded-For": address });

async function as(shop: TestShop, sub: string, address: string): Promise<Record<string, string>> {
  return { ...from(address), Authorization: `Bearer ${await tokenOf(shop, { sub, sid: `ses_${sub}` })}` };
}

describe("gateway: one hostile caller at full speed", { concurrency: true }, () => {
  it("S16: with as many streams as it can get, another's all open, and stay open", async () => {
    await using shop = await openTestShop({
      more: (rpc) => rpc.serve("watch", [watching]),
      gateway: { proxies: 1, streamsMax: 30 },
    });
    const watch = (headers: Record<string, string>) => shop.get("/v1/watch?sku=tea&quantity=1", headers);
    const accounts = await Promise.all(Array.from({ length: 10 }, (_, nth) => as(shop, `usr_${nth}`, "10.6.6.6")));
    const hostile = await Promise.all(Array.from({ length: 100 }, (_, nth) => watch(accounts[nth % 10]!)));
    assert.deepEqual(new Set(hostile.map(({ status }) => status)), new Set([200, 503]));
    const ann = await as(shop, "usr_ann", "10.0.0.1");
    for (let nth = 0; nth < 10; nth++) {
      const response = await watch(ann);
      assert.equal(response.status, 200);
      const reader = response.body!.getReader();
      assert.match(Buffer.from((await reader.read()).value ?? []).toString(), /tea/);
      const more = await Promise.all(accounts.map(watch));
      const outcome = await Promise.race([reader.read().then(() => "ended"), new Promise((resolve) => setImmediate(resolve, "open"))]);
      assert.equal(outcome, "open");
      await Promise.all(more.map(async ({ body }) => body?.cancel()));
    }
    await shop.gateway.stop();
  });

  it("S18, API4: its anonymous writes are refused by the default limit of each gateway, and another's all succeed", async () => {
    await using shop = await openTestShop({ gateway: { proxies: 1, rates: parseRateLimits("guest-writes=20/h") } });
    const write = (address: string) => shop.send("POST", "/v1/carts", { currency: "EUR" }, from(address));
    const hostile = await Promise.all(Array.from({ length: 60 }, () => write("10.6.6.6")));
    assert.equal(hostile.filter(({ status }) => status === 429).length, 40);
    for (const response of await Promise.all(Array.from({ length: 20 }, () => write("10.0.0.1")))) assert.equal(response.status, 201);
    assert.equal((await shop.get("/v1/products", from("10.6.6.6"))).status, 200, "and it may go on reading");
  });

  it("S16, R16: with calls that never end, it takes neither all slots of the service nor any of another", async () => {
    const stuck = Promise.withResolvers<object>();
    const full = Promise.withResolvers<void>();
    let running = 0;
    await using shop = await openTestShop({
      handlers: {
        "CatalogService.listProducts": () => {
          if (++running === 5) full.resolve();
          return stuck.promise;
        },
      },
      gateway: { proxies: 1, limits: { inFlight: 8, waiting: 10, waitMs: 60_000 }, timeoutMs: 60_000 },
    });
    const hostile = Array.from({ length: 50 }, () => shop.get("/v1/products", from("10.6.6.6")).then(({ status }) => status));
    await full.promise;
    for (let nth = 0; nth < 20; nth++)
      for (const path of ["/v1/categories", "/.well-known/jwks.json"])
        assert.equal((await shop.get(path, from("10.0.0.1"))).status, 200, `${path} ${nth}`);
    assert.equal(running, 5, "of the eight slots it has five");
    stuck.resolve({});
    assert.deepEqual(new Set(await Promise.all(hostile)), new Set([200, 503]));
  });
});
