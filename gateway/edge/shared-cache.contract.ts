import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import { parseRateLimits } from "./rate-limits.ts";
import { problemIn } from "../test-problem.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";
import type { TestShop } from "../test-shop.ts";

export interface SharedCache {
  /** Two gateways' connections to the same cache, which is empty. */
  readonly open: () => Promise<{ readonly caches: readonly [Cache, Cache]; readonly flush: () => Promise<void> }>;
}

/** What two gateways in front of the same services do with a shared cache. */
export function sharedCacheContract(name: string, { open }: SharedCache): void {
  describe(`gateways that share a cache: ${name}`, () => {
    it("ID-05: after signing out at one gateway the access token is refused by both at every route, and no other session's is", async () => {
      await using app = await openApp(await open());
      const [token, other] = [await app.tokenOf("ses_1"), await app.tokenOf("ses_2")];
      for (let n = 0; n < 5; n++) for (const me of app.me) assert.equal((await me(token)).status, 200);
      assert.equal(app.calls.length, 1, "both know what one has checked");
      await app.signOut(0, token);
      for (const route of app.shop.gateway.routes)
        if (!route.target.isPublic)
          for (const url of app.urls) {
            const path = url + route.template.replaceAll(/\{[^}]+\}/g, "some_id-1");
            const response = await fetch(path, { method: route.verb, headers: { Authorization: `Bearer ${token}` } });
            await problemIn(response, 401, "UNAUTHENTICATED");
            assert.match(response.headers.get("www-authenticate") ?? "", /invalid_token/);
          }
      for (const me of app.me) assert.equal((await me(other)).status, 200);
    });

    it("ID-05: a session that ends while one gateway checks it is not accepted afterwards", async () => {
      const opened = await open();
      const [called, result] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      let slow = true;
      await using app = await openApp(opened, async (live) => {
        if (!slow) return live;
        slow = false;
        called.resolve();
        await result.promise; // it was true when it was read
        return live;
      });
      const token = await app.tokenOf("ses_1");
      const early = app.me[0]!(token);
      await called.promise;
      await app.end("ses_1");
      // These arrive after it, and find the old call in progress.
      const late = [app.me[0]!(token), app.me[1]!(token)];
      result.resolve();
      assert.ok([200, 401].includes((await early).status), "it began before the session ended");
      for (const response of await Promise.all(late)) assert.equal(response.status, 401);
      for (const me of app.me) assert.equal((await me(token)).status, 401);
    });

    it("ID-05, R14: a cache that is emptied brings no session back and ends none", async () => {
      const opened = await open();
      await using app = await openApp(opened);
      const [token, other] = [await app.tokenOf("ses_1"), await app.tokenOf("ses_2")];
      for (const me of app.me) await me(token);
      await app.signOut(1, token);
      await opened.flush();
      for (const me of app.me) assert.deepEqual([(await me(token)).status, (await me(other)).status], [401, 200]);
    });

    it("GW-07: request N+1 is refused with 429 and Retry-After, whichever gateway receives it; each service has its own limit", async () => {
      await using app = await openApp(await open(), undefined, parseRateLimits("6/h,catalog=3/h"));
      const token = await app.tokenOf("ses_1");
      for (let n = 1; n <= 6; n++) {
        const response = await app.me[n % 2]!(token);
        assert.deepEqual([response.status, response.headers.get("ratelimit-policy")], [200, '"default";q=6;w=3600']);
        assert.match(response.headers.get("ratelimit") ?? "", new RegExp(`^"default";r=${6 - n};t=\\d+$`));
      }
      for (const me of app.me) {
        const response = await me(token);
        await problemIn(response, 429, "RATE_LIMITED");
        const retryAfter = Number(response.headers.get("retry-after"));
        assert.ok(retryAfter > 3500 && retryAfter <= 3600, `${retryAfter}`);
        assert.match(response.headers.get("ratelimit") ?? "", /^"default";r=0;t=\d+$/);
      }
      const products = (at: number) => fetch(`${app.urls[at]}/v1/products`, { headers: { Authorization: `Bearer ${token}` } });
      for (let n = 0; n < 3; n++) assert.equal((await products(n % 2)).status, 200);
      await problemIn(await products(0), 429, "RATE_LIMITED");
      await problemIn(await products(1), 429, "RATE_LIMITED");
      assert.equal((await app.me[0]!(await app.tokenOf("ses_3", "usr_bo"))).status, 200, "another client has his own");
    });

    it("GW-07: of many at once exactly as many pass as the limit allows", async () => {
      await using app = await openApp(await open(), undefined, parseRateLimits("20/h"));
      const token = await app.tokenOf("ses_1");
      const responses = await Promise.all(Array.from({ length: 40 }, (_, n) => app.me[n % 2]!(token)));
      assert.equal(responses.filter(({ status }) => status === 200).length, 20);
      assert.equal(responses.filter(({ status }) => status === 429).length, 20);
    });

    it("S9: wrong secrets from one address are counted over all accounts and gateways; right ones and malformed ones are not", async () => {
      const opened = await open();
      await using app = await openApp(opened, undefined, parseRateLimits("brute-force=3/h"));
      const login = (at: number, password: string, email = "ann@shop.example") =>
        fetch(`${app.urls[at]}/v1/login`, {
          method: "POST",
          body: JSON.stringify({ email, password }),
          headers: { "Content-Type": "application/json" },
        });
      for (let n = 0; n < 5; n++) assert.equal((await login(n % 2, "right")).status, 200);
      for (let n = 0; n < 5; n++) assert.equal((await login(n % 2, "")).status, 400);
      for (let n = 0; n < 3; n++) assert.equal((await login(n % 2, "wrong", `${n}@shop.example`)).status, 401);
      for (const at of [0, 1]) {
        const refused = await login(at, "right");
        await problemIn(refused, 429, "RATE_LIMITED");
        assert.ok(Number(refused.headers.get("retry-after")) > 3500);
      }
      assert.equal((await fetch(`${app.urls[0]}/v1/products`)).status, 200, "requests without a secret go on");
    });
  });
}

/** Two gateways in front of a stand-in for identity, beside the first, that does with the cache what identity does. */
export async function openApp(
  { caches }: { readonly caches: readonly [Cache, Cache] },
  respond: (live: string[]) => Promise<string[]> = async (live) => live,
  rates = parseRateLimits("brute-force=off"),
) {
  const sessions = new Set(["ses_1", "ses_2", "ses_3"]);
  const calls: string[][] = [];
  const end = async (session: string): Promise<void> => {
    sessions.delete(session);
    await caches[0].set(sessionKey(session), "ended", 600_000);
  };
  const shop: TestShop = await openTestShop({
    handlers: {
      "IdentityService.checkSessions": async ({ sessions: checked }: { sessions: string[] }) => {
        calls.push(checked);
        return { live: await respond(checked.filter((session) => sessions.has(session))) };
      },
      "IdentityService.logout": async (_, call) => (await end(call.signedIn().session), {}),
      "IdentityService.login": async ({ password }: { password: string }) => {
        if (password !== "right") throw wrong();
        return {};
      },
    },
    gateway: { cache: caches[0], sessionLeaseMs: 60_000, rates },
  });
  const { url } = await shop.openGateway({ cache: caches[1] });
  const urls = [shop.url, url] as const;
  return {
    shop,
    urls,
    calls,
    end,
    tokenOf: (sid: string, sub = "usr_ann") => tokenOf(shop, { sid, sub }),
    /** At each gateway: who am I? */
    me: urls.map((at) => (token: string) => fetch(`${at}/v1/me`, { headers: { Authorization: `Bearer ${token}` } })),
    signOut: async (at: number, token: string) => {
      const response = await fetch(`${urls[at]}/v1/logout`, { method: "POST", headers: { Authorization: `Bearer ${token}` } });
      assert.equal(response.status, 204);
    },
    [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose](),
  };
}

function wrong(): Error {
  return refuse({ reason: "CREDENTIALS_WRONG", code: "unauthenticated" });
}
