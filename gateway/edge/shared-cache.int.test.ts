import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import { sharedCacheContract } from "./shared-cache.contract.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

sharedCacheContract("memory", {
  open: async () => {
    let memory = createMemoryCache({ maxEntries: 1_000 });
    const shared: Cache = {
      get: (...of) => memory.get(...of),
      set: (...of) => memory.set(...of),
      delete: (...of) => memory.delete(...of),
      through: (...of) => memory.through(...of),
      replaceOlder: (...of) => memory.replaceOlder(...of),
      increment: (...of) => memory.increment(...of),
      lock: (...of) => memory.lock(...of),
      publish: (...of) => memory.publish(...of),
      subscribe: (...of) => memory.subscribe(...of),
    };
    return { caches: [shared, shared], flush: async () => void (memory = createMemoryCache({ maxEntries: 1_000 })) };
  },
});

describe("gateway: sessions", { concurrency: true }, () => {
  const caches: [what: string, cache: Cache | undefined][] = [
    ["no cache", undefined],
    ["a cache that is not shared", createUnsharedCache(createMemoryCache({ maxEntries: 100 }))],
  ];
  for (const [what, cache] of caches)
    it(`ID-05: with ${what} each request's session is checked, and one that has ended is refused at once`, async () => {
      const sessions = new Set(["ses_1"]);
      let calls = 0;
      await using shop = await openTestShop({
        handlers: {
          "IdentityService.checkSessions": async ({ sessions: checked }: { sessions: string[] }) => {
            calls++;
            return { live: checked.filter((session) => sessions.has(session)) };
          },
        },
        gateway: cache === undefined ? {} : { cache },
      });
      const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
      for (let n = 0; n < 3; n++) assert.equal((await shop.get("/v1/me", headers)).status, 200);
      assert.equal(calls, 3);
      sessions.clear();
      assert.equal((await shop.get("/v1/me", headers)).status, 401);
    });

  it("RES-06: while identity is unavailable verified tokens are accepted until they expire, except for sessions known to have ended", async () => {
    const cache = createMemoryCache({ maxEntries: 100 });
    let calls = 0;
    await using shop = await openTestShop({
      handlers: {
        "IdentityService.checkSessions": async () => {
          calls++;
          throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
        },
        "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }),
      },
      gateway: { cache },
    });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}`, "Idempotency-Key": "k" };
    for (let n = 0; n < 5; n++) assert.equal((await shop.send("POST", "/v1/orders", { cart: "c" }, headers)).status, 201);
    assert.equal(calls, 1, "an unavailable service is not called again at once");
    await cache.set(sessionKey("ses_2"), "ended", 60_000);
    const ended = { ...headers, Authorization: `Bearer ${await tokenOf(shop, { sid: "ses_2" })}` };
    assert.equal((await shop.send("POST", "/v1/orders", { cart: "c" }, ended)).status, 401);
    shop.clock.advance(361_000);
    assert.equal((await shop.send("POST", "/v1/orders", { cart: "c" }, headers)).status, 401);
  });

  it("ID-05: a session's state is remembered no longer than the token lives", async () => {
    const ttls: number[] = [];
    const memory = createMemoryCache({ maxEntries: 100 });
    const cache: Cache = { ...memory, through: (key, options, load) => (ttls.push(options.ttlMs), memory.through(key, options, load)) };
    await using shop = await openTestShop({ gateway: { cache, sessionLeaseMs: 3_600_000 } });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    for (const passMs of [0, 200_000, 99_000]) {
      shop.clock.advance(passMs);
      assert.equal((await shop.get("/v1/me", headers)).status, 200);
    }
    assert.deepEqual(ttls, [300_000, 100_000, 1_000]);
    shop.clock.advance(2_000);
    assert.equal((await shop.get("/v1/me", headers)).status, 200, "clocks may differ by a minute");
    assert.equal(ttls.length, 3, "and nothing is remembered then");
  });
});
