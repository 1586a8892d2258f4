import assert from "node:assert/strict";
import { createHmac, createPublicKey } from "node:crypto";
import { describe, it } from "node:test";
import { base64url, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import { createTokens, skewSeconds } from "./tokens.ts";
import type { TokenOptions } from "./tokens.ts";
import { openTestShop, publicKey, signedText, tokenOf } from "../test-shop.ts";
import type { TestShop } from "../test-shop.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";

const part = (value: unknown): string => base64url.encode(typeof value === "string" ? value : JSON.stringify(value));

/** Every way in which a token is not valid, by name. */
async function badTokens(shop: TestShop): Promise<Record<string, string>> {
  const good = await tokenOf(shop);
  const [header = "", payload = "", signature = ""] = good.split(".");
  const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
  const foreign = await generateKeyPair("ES256", { extractable: true });
  const foreignToken = (extra: Record<string, unknown>) =>
    new SignJWT(claims).setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "key-1", ...extra }).sign(foreign.privateKey);
  const spki = await exportSPKI((await importJWK({ ...(await publicKey()) }, "ES256")) as Parameters<typeof exportSPKI>[0]);
  const hmac = (alg: string, key: string | Buffer): string => {
    const signed = `${part({ alg, typ: "at+jwt", kid: "key-1" })}.${payload}`;
    return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
  };
  const now = Number(claims["iat"]);
  return {
    "alg none": `${part({ alg: "none", typ: "at+jwt", kid: "key-1" })}.${payload}.`,
    "alg None with a signature": `${part({ alg: "None", typ: "at+jwt", kid: "key-1" })}.${payload}.${signature}`,
    "no signature": `${header}.${payload}.`,
    "HS256 with the public key": hmac("HS256", spki),
    "HS256 with the raw key": hmac("HS256", createPublicKey(spki).export({ type: "spki", format: "der" })),
    "an unknown kid": await tokenOf(shop, {}, { kid: "key-2" }),
    "no kid": await tokenOf(shop, {}, { kid: undefined }),
    "another key under the issuer's kid": await foreignToken({}),
    jku: await foreignToken({ jku: `${shop.url}/jwks` }),
    "x5u, rightly signed": await tokenOf(shop, {}, { x5u: `${shop.url}/cert` }),
    "an embedded jwk": await foreignToken({ jwk: foreign.publicKey.type }),
    crit: await tokenOf(shop, {}, { crit: ["b64"], b64: true }),
    "typ JWT": await tokenOf(shop, {}, { typ: "JWT" }),
    "no typ": await tokenOf(shop, {}, { typ: undefined }),
    "an ID token": await tokenOf(shop, { nonce: "x" }, { typ: "id+jwt" }),
    "another audience": await tokenOf(shop, { aud: "other" }),
    audiences: await tokenOf(shop, { aud: ["kontor", "other"] }),
    "no audience": await tokenOf(shop, { aud: undefined }),
    "another issuer": await tokenOf(shop, { iss: "https://evil.example" }),
    expired: await tokenOf(shop, { exp: now - skewSeconds - 1 }),
    "no expiry": await tokenOf(shop, { exp: undefined }),
    "an expiry that is text": await signedText(
      `{"iss":"kontor","aud":"kontor","sub":"usr_ann","sid":"ses_1","roles":[],"ver":true,"exp":"${now + 300}"}`,
    ),
    "not before the future": await tokenOf(shop, { nbf: now + skewSeconds + 1 }),
    "10 KB": await tokenOf(shop, { pad: "x".repeat(10_000) }),
    "duplicated claims": await signedText(
      `{"iss":"kontor","aud":"kontor","sub":"usr_ann","sub":"usr_admin","sid":"ses_1","roles":[],"ver":true,"exp":${now + 300}}`,
    ),
    "a tampered payload": `${header}.${part({ ...claims, roles: ["admin"] })}.${signature}`,
    "another kind of subject": await tokenOf(shop, { sub: "cmp_1" }),
    "no session": await tokenOf(shop, { sid: undefined }),
    "roles that are no list": await tokenOf(shop, { roles: "admin" }),
    "not JSON": `${part("{")}.${payload}.${signature}`,
    "not a token": "abc",
    "two dots only": "..",
  };
}

describe("gateway: access tokens", { concurrency: true }, () => {
  it("S6, GW-03: every bad token is refused with the same body and no call; at a public read its sender is a guest, and the response says so", async () => {
    await using shop = await openTestShop();
    const bodies = new Set<string>();
    const bad = Object.values(await badTokens(shop)).map((token) => `Bearer ${token}`);
    for (const authorization of [...bad, "Basic YTpi", "Bearer", "Bearer a b", "x"]) {
      const response = await shop.get("/v1/me", { Authorization: authorization });
      const { traceId: _, ...body } = (await response.json()) as Record<string, unknown>;
      assert.equal(response.status, 401, authorization);
      assert.match(response.headers.get("www-authenticate") ?? "", /^Bearer error="invalid_token"/, authorization);
      bodies.add(JSON.stringify(body));
      const read = await shop.get("/v1/products", { Authorization: authorization });
      assert.equal(read.status, 200, authorization);
      assert.match(read.headers.get("www-authenticate") ?? "", /^Bearer error="invalid_token"/, authorization);
      assert.equal(shop.seen.at(-1)?.call.user, undefined);
    }
    assert.equal(bodies.size, 1, [...bodies].join("\n"));
    assert.deepEqual(
      [...new Set(shop.seen.map(({ method }) => method))].toSorted(),
      ["CatalogService.listProducts", "IdentityService.getJwks"],
      "nothing but the issuer's keys was fetched",
    );
    assert.deepEqual(shop.faults, []);
    assert.equal((await shop.get("/v1/products")).headers.get("www-authenticate"), null);
  });

  it("a bad token in the header does not prevent signing in, nor a provider's notification", async () => {
    await using shop = await openTestShop();
    const credentials = { email: "a@b.example", password: "a good password" };
    const routes: [path: string, body: object][] = [
      ["/v1/login", credentials],
      ["/v1/register", { ...credentials, name: "Ann" }],
      ["/v1/register/verify", { email: "a@b.example", code: "ABCDE-FGHJK" }],
      ["/v1/register/resend", { email: "a@b.example" }],
      ["/v1/token/refresh", { refreshToken: "x" }],
      ["/v1/payments/webhooks/builtin", {}],
    ];
    const expired = await tokenOf(shop, { exp: Math.floor(shop.clock.now().getTime() / 1000) - skewSeconds - 1 });
    for (const [path, body] of routes)
      for (const authorization of [`Bearer ${expired}`, "Basic YTpi", `Bearer ${await tokenOf(shop)}`]) {
        const response = await shop.send("POST", path, body, { Authorization: authorization });
        assert.ok(response.status < 300, `${path}: ${response.status} ${await response.text()}`);
        assert.equal(shop.seen.at(-1)?.call.user, undefined);
        assert.equal(response.headers.get("www-authenticate"), null);
      }
  });

  it("with a bad token nothing is written as a guest, and what a guest may not see is refused for the token's sake", async () => {
    let refusal: Parameters<typeof refuse>[0] = { reason: "NOT_FOUND", code: "not_found" };
    await using shop = await openTestShop({
      handlers: {
        "CartsService.getCart": async () => {
          throw refuse(refusal);
        },
      },
    });
    const cart = `crt_${"0".repeat(26)}`;
    const bad = { Authorization: "Bearer garbage" };
    for (const [verb, path, body] of [
      ["POST", "/v1/carts", { currency: "EUR" }],
      ["POST", `/v1/carts/${cart}/lines`, { sku: "tea", quantity: 1 }],
      ["DELETE", `/v1/carts/${cart}`, undefined],
      ["DELETE", `/v1/carts/${cart}/lines/lin_1`, undefined],
    ] as const) {
      const response = await fetch(shop.url + path, {
        method: verb,
        headers: { ...bad, ...(body && { "Content-Type": "application/json" }) },
        ...(body && { body: JSON.stringify(body) }),
      });
      assert.equal(response.status, 401, `${verb} ${path}`);
    }
    assert.deepEqual(shop.seen, []);
    const path = shop.gateway.routes.find(({ verb, template }) => verb === "GET" && template.startsWith("/v1/carts/{"))!.template;
    const read = (headers: Record<string, string>) => shop.get(path.replace(/\{[^}]+\}/, cart), headers);
    const mine = await read(bad);
    assert.equal(mine.status, 401, "the cart may be the caller's own");
    assert.equal(mine.headers.get("www-authenticate")?.split("invalid_token").length, 2, "said once");
    assert.equal((await read({})).status, 404);
    refusal = { reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" };
    assert.equal((await read(bad)).status, 503);
  });

  it("RES-06: while the keys cannot be fetched a public read is served as a guest's, and the response does not mention the token", async () => {
    const keys = async () => {
      throw new Error("identity is unavailable");
    };
    await using shop = await openTestShop({ gateway: { keys } });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    const read = await shop.get("/v1/products", headers);
    assert.deepEqual([read.status, read.headers.get("www-authenticate")], [200, null]);
    const closed = await shop.get("/v1/me", headers);
    assert.deepEqual([closed.status, closed.headers.get("retry-after")], [503, "1"]);
  });

  it("GW-03, TST-07: every route that is not public responds 401 without a token or with a bad one, and not with a good one", async () => {
    await using shop = await openTestShop();
    const { "alg none": none = "", expired = "", "a tampered payload": tampered = "" } = await badTokens(shop);
    const good = await tokenOf(shop, { roles: ["admin"] });
    const closed = shop.gateway.routes.filter((route) => !route.target.isPublic);
    assert.ok(closed.length > 15);
    for (const { verb, template } of closed) {
      const path = shop.url + template.replaceAll(/\{[^}]+\}/g, "some_id-1");
      const withToken = (token: string | undefined) =>
        fetch(path, { method: verb, headers: token === undefined ? {} : { Authorization: `Bearer ${token}` } });
      const bare = await withToken(undefined);
      assert.deepEqual([bare.status, bare.headers.get("www-authenticate")], [401, "Bearer"], `${verb} ${template}`);
      for (const token of [none, expired, tampered]) assert.equal((await withToken(token)).status, 401, `${verb} ${template}`);
      assert.notEqual((await withToken(good)).status, 401, `${verb} ${template}`);
    }
  });

  it("GW-03, S1: at every public operation a bad token changes no status, unless the contract says that the caller matters", async () => {
    const nothing = () => Promise.reject(refuse({ reason: "NOT_FOUND", code: "not_found" }));
    const handlers: Record<string, typeof nothing> = {};
    // First everything is there for a guest, then nothing.
    for (let round = 0; round < 2; round++) {
      await using shop = await openTestShop({ handlers, gateway: { keys: async () => [await publicKey()] } });
      const open = shop.gateway.routes.filter((route) => route.target.isPublic);
      assert.ok(open.length > 20);
      const { expired = "" } = await badTokens(shop);
      for (const { verb, template, target, readOnly } of open) {
        const url = shop.url + template.replaceAll(/\{[^}]+\}/g, "some_id-1");
        const body = verb === "GET" || verb === "DELETE" ? undefined : "{}";
        const responseTo = async (token?: string) => {
          const headers = {
            ...(token !== undefined && { Authorization: `Bearer ${token}` }),
            ...(body && { "Content-Type": "application/json" }),
          };
          const { status, headers: sent } = await fetch(url, { method: verb, headers, redirect: "manual", ...(body && { body }) });
          return [status, sent.get("www-authenticate")?.includes("invalid_token") ?? false];
        };
        handlers[`${target.contract.service.name}.${target.contract.method.localName}`] = nothing;
        const [status] = await responseTo();
        assert.notEqual(status, 401, `${verb} ${template}`);
        const refuses = target.needsAcceptedToken && (!readOnly || status === 404);
        for (const token of [expired, "garbage"])
          assert.deepEqual(await responseTo(token), refuses ? [401, true] : [status, !target.ignoresToken], `${verb} ${template}`);
      }
    }
  });

  it("GW-03: a route for a role refuses others before it reads what they send", async () => {
    await using shop = await openTestShop();
    const shopper = await tokenOf(shop);
    const response = await shop.send("POST", "/v1/products", "{ not json", { Authorization: `Bearer ${shopper}` });
    assert.deepEqual([response.status, ((await response.json()) as { reason: string }).reason], [403, "PERMISSION_DENIED"]);
  });

  it("fetches the keys for an unknown key id, but not for each unknown one", async () => {
    const clock = new ManualClock(new Date("2026-03-01T12:00:00Z"));
    const key = await publicKey();
    let published = [key];
    let fetches = 0;
    const tokens = createTokens({ keys: async () => (fetches++, published), clock, log, nowMs: () => 0 });
    await tokens.verify(await tokenOf({ clock }));
    await tokens.verify(await tokenOf({ clock }, { sid: "ses_2" }));
    assert.equal(fetches, 1);
    published = [key, { ...key, kid: "key-2" }];
    assert.equal(await reasonOf(tokens.verify(await tokenOf({ clock }, {}, { kid: "key-2" }))), "UNAUTHENTICATED");
    assert.equal(fetches, 1, "unknown key ids do not cause a flood of fetches");
  });

  it("refuses as unavailable, not as unauthenticated, while the keys cannot be had", async () => {
    const clock = new ManualClock(new Date("2026-03-01T12:00:00Z"));
    let unavailable = true;
    const keys: TokenOptions["keys"] = async () => {
      if (unavailable) throw new Error("identity is unavailable");
      return [await publicKey()];
    };
    const tokens = createTokens({ keys, clock, log });
    const token = await tokenOf({ clock });
    assert.equal(await reasonOf(tokens.verify(token)), "DEPENDENCY_UNAVAILABLE");
    unavailable = false;
    assert.equal((await tokens.verify(token)).user.id, "usr_ann");
  });

  it("verifies a token once, and refuses it when it has expired", async () => {
    const clock = new ManualClock(new Date("2026-03-01T12:00:00Z"));
    const tokens = createTokens({ keys: async () => [await publicKey()], clock, log });
    const token = await tokenOf({ clock });
    const first = await tokens.verify(token);
    assert.equal(tokens.verify(token), first, "at once, without a promise");
    clock.advance((300 + skewSeconds) * 1000 - 1);
    assert.equal(tokens.verify(token), first);
    clock.advance(1);
    assert.equal(await reasonOf(() => tokens.verify(token)), "UNAUTHENTICATED");
    assert.equal(await reasonOf(tokens.verify(token)), "UNAUTHENTICATED");
  });

  it("GW-11: 200 requests at once with different tokens each act as their own user", async () => {
    await using shop = await openTestShop({
      handlers: {
        "IdentityService.getMe": async (_, call) => {
          await new Promise((resolve) => setImmediate(resolve));
          return { id: call.signedIn().id };
        },
      },
    });
    const tokens = await Promise.all(Array.from({ length: 200 }, (_, n) => tokenOf(shop, { sub: `usr_${n}` })));
    const users = await Promise.all(
      tokens.map(async (token) => (await shop.get("/v1/me", { Authorization: `Bearer ${token}` })).json() as Promise<{ id: string }>),
    );
    assert.deepEqual(
      users.map(({ id }) => id),
      tokens.map((_, n) => `usr_${n}`),
    );
  });
});

async function reasonOf(work: unknown): Promise<string | undefined> {
  try {
    await (typeof work === "function" ? (work as () => unknown)() : work);
    return undefined;
  } catch (error) {
    return refusalIn(error)?.reason;
  }
}

const nothing = () => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => log };
