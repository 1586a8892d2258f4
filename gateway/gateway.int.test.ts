import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, PlaceThingResponseSchema, RawThingRequestSchema, RawThingResponseSchema, ThingSchema, UpdateThingRequestSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { RawThingRequest, UpdateThingRequest } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { problemSchema } from "@kontor/platform/contract/problem-schema.ts";
import { Ajv2020 } from "ajv/dist/2020.js";
import { createGateway } from "./gateway.ts";
import { openTestShop, tokenOf } from "./test-shop.ts";
import type { TestShop } from "./test-shop.ts";

const isProblem = new Ajv2020({ strict: false }).compile(problemSchema);

/** The one shape of every error, with the headers that every answer has. */
async function problemIn(response: Response, status: number, reason: string) {
  const body = (await response.json()) as Record<string, unknown>;
  assert.equal(response.status, status, JSON.stringify(body));
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.ok(isProblem(body), JSON.stringify(isProblem.errors));
  assert.deepEqual([body["status"], body["reason"], body["type"]], [status, reason, `/docs/errors/${reason}`]);
  assert.match(String(body["traceId"]), /^[0-9a-f]{32}$/);
  assertSecured(response);
  return body;
}

function assertSecured({ headers }: Response): void {
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("x-frame-options"), "DENY");
  assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(headers.get("referrer-policy"), "no-referrer");
  assert.equal(headers.get("server"), null);
  assert.equal(headers.get("x-powered-by"), null);
  assert.match(headers.get("x-correlation-id") ?? "", /^[\w.-]{8,64}$/);
}

describe("gateway: routes", { concurrency: true }, () => {
  it("GW-01: reaches every public route of every service, under every path that the contract gives it", async () => {
    await using shop = await openTestShop({ handlers: { "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }) } });
    const admin = await tokenOf(shop, { roles: ["admin"] });
    const routes = shop.gateway.routes.filter((route) => route.kind === "rpc");
    assert.ok(routes.length > 30);
    for (const route of routes) {
      const path = route.template.replaceAll(/\{[^}]+\}/g, "some_id-1");
      const headers = { Authorization: `Bearer ${admin}`, "Idempotency-Key": "key-1" };
      const response = route.takesBody ? await shop.send(route.verb, path, {}, headers) : await fetch(shop.url + path, { method: route.verb, headers, redirect: "manual" });
      const text = await response.text();
      if (response.status === 400) assert.match(text, /INVALID_REQUEST/, `${route.verb} ${path}: ${text}`);
      else assert.ok(response.status < 400, `${route.verb} ${path}: ${response.status} ${text}`);
    }
  });

  it("GW-04: refuses what no contract routes, in the one shape, while known routes answer", async () => {
    await using shop = await openTestShop();
    for (const path of ["/v2/products", "/v1", "/v1/products/", "//v1/products", "/V1/products", "/graphql", "/v1/products/a/b/c", "/v1/%zz", "/.env", "/v1/accounts"])
      await problemIn(await shop.get(path), 404, "ROUTE_NOT_FOUND");
    for (const [verb, path, allow] of [
      ["DELETE", "/v1/products", "GET, HEAD, POST"],
      ["POST", "/v1/products/prd_1", "DELETE, GET, HEAD, PATCH"],
      ["PUT", "/v1/me", "GET, HEAD"],
      ["POST", "/livez", "GET, HEAD"],
      ["OPTIONS", "/v1/me", "GET, HEAD"],
      ["HEAD", "/pay/secret", "GET"],
    ] as const) {
      const response = await fetch(shop.url + path, { method: verb });
      assert.equal(response.headers.get("allow"), allow, `${verb} ${path}`);
      if (verb === "HEAD") assert.equal(response.status, 405);
      else await problemIn(response, 405, "METHOD_NOT_ALLOWED");
    }
    assert.equal((await shop.get("/v1/products")).status, 200);
    assert.ok(shop.seen.every(({ method }) => method === "CatalogService.listProducts"));
  });

  it("answers HEAD as GET, without the body", async () => {
    await using shop = await openTestShop({ handlers: { "CatalogService.getProduct": async () => ({ id: "prd_1", title: "Tea" }) } });
    const get = await shop.get("/v1/products/prd_1");
    const head = await fetch(`${shop.url}/v1/products/prd_1`, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
    for (const name of ["content-length", "content-type", "etag"]) assert.equal(head.headers.get(name), get.headers.get(name));
    assert.equal(get.headers.get("content-length"), String((await get.text()).length));
  });

  it("GW-11: takes who asks from the token alone, and adds a correlation id", async () => {
    await using shop = await openTestShop();
    const forged = { "X-User-Id": "usr_admin", "X-Roles": "admin", "X-Kontor-User": "usr_admin", "X-Kontor-Caller": "orders" };
    await problemIn(await shop.get("/v1/me", forged), 401, "UNAUTHENTICATED");
    assert.equal(shop.seen.length, 0);
    const traceparent = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
    const headers = { ...forged, Authorization: `Bearer ${await tokenOf(shop)}`, traceparent, "X-Correlation-Id": "basket-4711" };
    const response = await shop.get("/v1/me", headers);
    assert.equal(response.headers.get("x-correlation-id"), "basket-4711");
    const { call, request } = shop.seen.at(-1)!;
    assert.deepEqual(call.user, { id: "usr_ann", session: "ses_1", roles: [], verified: true });
    assert.deepEqual([call.caller, call.correlation, call.trace.traceId, call.trace.spanId], ["gateway", "basket-4711", "a".repeat(32), "b".repeat(16)]);
    assert.doesNotMatch(JSON.stringify(request), /admin/);
    const other = await shop.get("/v1/me", { ...headers, "X-Correlation-Id": "a b\u00ff{}", traceparent: "00-00-00-00" });
    assert.match(other.headers.get("x-correlation-id") ?? "", /^[0-9a-f]{32}$/);
  });

  it("does not start with a path that nobody at the edge may call", async () => {
    for (const allow of [[Allow.INTERNAL], []])
      await assert.rejects(
        openTestShop({
          more: (rpc) => {
            const service = describeService("kontor.testing.v1.HiddenService", { peek: { input: ThingSchema, output: ThingSchema, allow, http: { pattern: { case: "get", value: "/v1/hidden" } } } });
            rpc.serve("hidden", [implement(service, { peek: async () => ({}) })]);
          },
        }),
        /nobody at the edge may call it/,
      );
  });

  it("writes one line per request, with the route's template and never the path", async () => {
    await using shop = await openTestShop();
    await (await shop.get("/v1/carts/crt_secret?x=1")).text();
    await (await shop.get("/nowhere/crt_secret")).text();
    await (await shop.get("/livez")).text();
    assert.deepEqual(
      shop.lines.map(({ method, route, status }) => ({ method, route, status })),
      [
        { method: "GET", route: "/v1/carts/{cart}", status: 400 },
        { method: "GET", route: "-", status: 404 },
      ],
    );
    assert.ok(!JSON.stringify(shop.lines).includes("crt_secret"));
  });
});

describe("gateway: errors", { concurrency: true }, () => {
  it("API-10: every code has its status, every error the one shape", async () => {
    const refusals = {
      invalid_argument: 400,
      unauthenticated: 401,
      permission_denied: 403,
      not_found: 404,
      failed_precondition: 409,
      aborted: 409,
      already_exists: 409,
      resource_exhausted: 429,
      internal: 500,
      unimplemented: 501,
      unavailable: 503,
      deadline_exceeded: 504,
    } as const;
    let code: keyof typeof refusals = "aborted";
    await using shop = await openTestShop({
      handlers: {
        "CatalogService.listProducts": async () => {
          throw refuse({ reason: "TEA_IS_COLD", code, details: { degrees: 20 }, fields: [{ field: "pot.lid", reason: "OPEN", message: "must be closed" }] });
        },
      },
    });
    for (const [name, status] of Object.entries(refusals)) {
      code = name as keyof typeof refusals;
      const response = await shop.get("/v1/products");
      const body = await problemIn(response, status, "TEA_IS_COLD");
      assert.equal(body["title"], "Tea is cold");
      assert.deepEqual(body["details"], { degrees: 20 });
      assert.deepEqual(body["errors"], [{ field: "pot.lid", reason: "OPEN", message: "must be closed" }]);
      assert.equal(response.headers.get("retry-after"), status === 429 || status === 503 ? "1" : null);
      assert.equal(response.headers.get("www-authenticate"), status === 401 ? "Bearer" : null);
    }
  });

  it("API-10: a reason's title and own status come from the contracts, Retry-After from the refusal", async () => {
    await using shop = await openTestShop({
      handlers: {
        "CheckoutService.placeOrder": async ({ cart }: { cart: string }) => {
          if (cart === "empty") throw refuse({ reason: "CART_EMPTY", code: "failed_precondition" });
          if (cart === "running") throw refuse({ reason: "IDEMPOTENCY_KEY_IN_PROGRESS", code: "aborted", retryAfterMs: 1500 });
          throw refuse({ reason: "IDEMPOTENCY_KEY_REUSED", code: "invalid_argument", message: "Another body came with this key" });
        },
      },
    });
    const order = async (cart: string) => shop.send("POST", "/v1/orders", { cart }, { Authorization: `Bearer ${await tokenOf(shop)}`, "Idempotency-Key": "k" });
    const empty = await problemIn(await order("empty"), 409, "CART_EMPTY");
    assert.deepEqual([empty["title"], empty["detail"]], ["There is nothing in the cart", "There is nothing in the cart"]);
    const running = await order("running");
    await problemIn(running, 409, "IDEMPOTENCY_KEY_IN_PROGRESS");
    assert.equal(running.headers.get("retry-after"), "2");
    const reused = await problemIn(await order("other"), 422, "IDEMPOTENCY_KEY_REUSED");
    assert.equal(reused["detail"], "Another body came with this key");
  });

  it("API-10: a fault says nothing of itself", async () => {
    await using shop = await openTestShop({
      handlers: {
        "CatalogService.listProducts": async () => {
          throw new Error("select * from products failed: password authentication failed for hunter2");
        },
      },
    });
    const body = await problemIn(await shop.get("/v1/products"), 500, "INTERNAL_ERROR");
    assert.doesNotMatch(JSON.stringify(body), /select|hunter2|\bat /);
    assert.equal(body["detail"], "Something went wrong on our side");
    assert.equal(shop.faults.length, 1);
  });

  it("API-10: an answer that cannot be told is a fault of ours", async () => {
    await using shop = await openTestShop({ handlers: { "CheckoutService.placeOrder": async () => ({}) } });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}`, "Idempotency-Key": "k" };
    await problemIn(await shop.send("POST", "/v1/orders", { cart: "c" }, headers), 500, "INTERNAL_ERROR");
    assert.equal(shop.faults.length, 1);
  });
});

describe("gateway: answers", { concurrency: true }, () => {
  const openThings = () => {
    const ThingsService = describeService("kontor.testing.v1.ThingsService", {
      receive: {
        input: RawThingRequestSchema,
        output: ThingSchema,
        allow: [Allow.PUBLIC],
        rest: { rawBody: true, status: 202 },
        http: { pattern: { case: "post", value: "/v1/hooks/{provider}" }, body: "*" },
      },
      place: {
        input: LineSchema,
        output: PlaceThingResponseSchema,
        allow: [Allow.PUBLIC],
        rest: { outcomes: [{ field: "placed", status: 201, location: "/v1/things/{id}" }, { field: "pending", status: 202, location: "/v1/pending/{thing}" }] },
        http: { pattern: { case: "post", value: "/v1/things" }, body: "*" },
      },
      change: { input: UpdateThingRequestSchema, output: ThingSchema, allow: [Allow.PUBLIC], http: { pattern: { case: "patch", value: "/v1/things/{thing}" }, body: "*" } },
      go: { input: RawThingRequestSchema, output: RawThingResponseSchema, allow: [Allow.PUBLIC], rest: { redirect: "url" }, http: { pattern: { case: "get", value: "/go/{provider}" } } },
      page: { input: RawThingRequestSchema, output: RawThingResponseSchema, allow: [Allow.PUBLIC], rest: { rawAnswer: "page" }, http: { pattern: { case: "get", value: "/page/{provider}" } } },
      cached: {
        input: RawThingRequestSchema,
        output: ThingSchema,
        allow: [Allow.PUBLIC],
        rest: { cacheControl: "public, max-age=60", idempotency: Idempotency.NONE },
        http: { pattern: { case: "get", value: "/v1/cached" } },
      },
    });
    const raw: RawThingRequest[] = [];
    const changes: UpdateThingRequest[] = [];
    return openTestShop({
      more: (rpc) =>
        rpc.serve("things", [
          implement(ThingsService, {
            receive: async (request) => (raw.push(request), { id: request.provider }),
            place: async ({ sku }) => ({ outcome: sku === "tea" ? { case: "placed", value: { id: "a/b ?" } } : { case: "pending", value: { thing: "chk_1" } } }),
            change: async (request) => (changes.push(request), { id: request.thing }),
            go: async ({ provider }) => ({ url: `https://${provider}.example/pay?x=1` }),
            page: async () => ({ contentType: "text/html; charset=utf-8", page: Buffer.from("<p>grüezi</p>") }),
            cached: async () => ({ id: "same" }),
          }),
        ]),
    }).then((shop) => ({ ...shop, raw, changes, [Symbol.asyncDispose]: shop[Symbol.asyncDispose] }));
  };

  it("gives a create its status and Location, and an outcome its own", async () => {
    await using shop = await openThings();
    const placed = await shop.send("POST", "/v1/things", { sku: "tea", quantity: 1 });
    assert.deepEqual([placed.status, placed.headers.get("location")], [201, "/v1/things/a%2Fb%20%3F"]);
    assert.equal(((await placed.json()) as { id: string }).id, "a/b ?");
    const pending = await shop.send("POST", "/v1/things", { sku: "coffee", quantity: 1 });
    assert.deepEqual([pending.status, pending.headers.get("location"), await pending.json()], [202, "/v1/pending/chk_1", { thing: "chk_1" }]);
    assert.equal(pending.headers.get("cache-control"), "no-store");
  });

  it("gives 204 no body", async () => {
    await using shop = await openTestShop();
    const response = await shop.send("POST", "/v1/logout", undefined, { Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.deepEqual([response.status, await response.text(), response.headers.get("content-type")], [204, "", null]);
    assertSecured(response);
  });

  it("fills the mask of a PATCH from the body, and takes the id from the path alone", async () => {
    await using shop = await openThings();
    assert.equal((await shop.send("PATCH", "/v1/things/thg_1", { displayName: "Tea", version: 3 })).status, 200);
    const [change] = shop.changes;
    assert.deepEqual([change?.thing, change?.displayName, change?.updateMask?.paths], ["thg_1", "Tea", ["display_name", "version"]]);
    const twice = await problemIn(await shop.send("PATCH", "/v1/things/thg_1", { thing: "thg_2" }), 400, "INVALID_REQUEST");
    assert.deepEqual((twice["errors"] as { field: string }[])[0]?.field, "thing");
  });

  it("hands a raw body over as it came, with its headers but no credentials", async () => {
    await using shop = await openThings();
    const body = '{ "a" : 1,\n "\u00e9": [ ] }';
    const response = await fetch(`${shop.url}/v1/hooks/stripe`, { method: "POST", body, headers: { "Webhook-Signature": "v1,abc", "Content-Type": "text/odd", Cookie: "a=b" } });
    assert.equal(response.status, 202);
    const [request] = shop.raw;
    assert.equal(Buffer.from(request!.body).toString(), body);
    assert.deepEqual([request?.provider, request?.headers["webhook-signature"], request?.headers["cookie"]], ["stripe", "v1,abc", undefined]);
  });

  it("redirects a browser, and serves a service's page under a strict policy", async () => {
    await using shop = await openThings();
    const redirect = await shop.get("/go/psp");
    assert.deepEqual([redirect.status, redirect.headers.get("location"), await redirect.text()], [303, "https://psp.example/pay?x=1", ""]);
    assert.equal(redirect.headers.get("cache-control"), "no-store");
    const page = await shop.get("/page/psp");
    assert.deepEqual([page.status, page.headers.get("content-type"), await page.text()], [200, "text/html; charset=utf-8", "<p>grüezi</p>"]);
    assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'; style-src/);
    assertSecured(page);
  });

  it("tags what is read, and answers 304 when it has not changed", async () => {
    await using shop = await openThings();
    const first = await shop.get("/v1/cached");
    const etag = first.headers.get("etag") ?? "";
    assert.match(etag, /^"[\w-]{27}"$/);
    assert.deepEqual([first.headers.get("cache-control"), first.headers.get("vary")], ["public, max-age=60", "Authorization"]);
    for (const sent of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const again = await shop.get("/v1/cached", { "If-None-Match": sent });
      assert.deepEqual([again.status, await again.text(), again.headers.get("etag"), again.headers.get("vary")], [304, "", etag, "Authorization"]);
      assertSecured(again);
    }
    assert.equal((await shop.get("/v1/cached", { "If-None-Match": '"other"' })).status, 200);
    const signedIn = await shop.get("/v1/cached", { Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.equal(signedIn.headers.get("cache-control"), "no-store");
    const own = await shop.get("/v1/me", { Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.deepEqual([own.headers.get("cache-control"), own.headers.get("vary")], ["no-store", "Authorization"]);
  });

  it("asks for an Idempotency-Key where the contract does, and passes on a good one", async () => {
    await using shop = await openTestShop({ handlers: { "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }) } });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    for (const path of ["/v1/orders", "/orders"]) await problemIn(await shop.send("POST", path, { cart: "c" }, headers), 400, "IDEMPOTENCY_KEY_REQUIRED");
    for (const key of ["with space", "x".repeat(256), "", "\u00e9"]) await problemIn(await shop.send("POST", "/v1/orders", { cart: "c" }, { ...headers, "Idempotency-Key": key }), 400, "INVALID_REQUEST");
    const ordersSeen = () => shop.seen.filter(({ method }) => method === "CheckoutService.placeOrder");
    assert.equal(ordersSeen().length, 0);
    const placed = await shop.send("POST", "/v1/orders", { cart: "c" }, { ...headers, "Idempotency-Key": "k".repeat(255) });
    assert.deepEqual([placed.status, placed.headers.get("location")], [201, "/v1/orders/ord_1"]);
    assert.equal(ordersSeen()[0]?.call.idempotencyKey, "k".repeat(255));
  });
});

describe("gateway: headers and pages", { concurrency: true }, () => {
  it("GW-05: every answer carries the security headers, good or bad", async () => {
    await using shop = await openTestShop();
    for (const path of ["/v1/products", "/v1/me", "/nowhere", "/", "/docs", "/docs/docs.js", "/openapi.json", "/livez", "/readyz", "/docs/errors", "/docs/errors/NOT_FOUND"]) {
      const response = await shop.get(path);
      await response.text();
      assertSecured(response);
      assert.equal(response.headers.get("strict-transport-security"), null);
    }
  });

  it("GW-05: tells browsers to stay on https where that is the address", async () => {
    await using shop = await openTestShop({ gateway: { publicUrl: "https://shop.example" } });
    assert.match((await shop.get("/v1/products")).headers.get("strict-transport-security") ?? "", /max-age=31536000/);
  });

  it("GW-06: lets the origins that are named call it, and no others, never with credentials", async () => {
    await using shop = await openTestShop({ gateway: { origins: ["https://shop.example"] } });
    const preflight = (origin: string) =>
      fetch(`${shop.url}/v1/me`, { method: "OPTIONS", headers: { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization" } });
    const good = await preflight("https://shop.example");
    assert.deepEqual([good.status, good.headers.get("access-control-allow-origin")], [204, "https://shop.example"]);
    assert.match(good.headers.get("access-control-allow-headers") ?? "", /Authorization/);
    const bad = await preflight("https://evil.example");
    assert.equal(bad.headers.get("access-control-allow-origin"), null);
    const answer = await shop.get("/v1/products", { Origin: "https://shop.example" });
    assert.deepEqual([answer.headers.get("access-control-allow-origin"), answer.headers.get("vary")], ["https://shop.example", "Authorization, Origin"]);
    for (const response of [good, bad, answer]) assert.equal(response.headers.get("access-control-allow-credentials"), null);
    await using closed = await openTestShop();
    const none = await closed.get("/v1/products", { Origin: "https://shop.example" });
    assert.equal(none.headers.get("access-control-allow-origin"), null);
    assert.throws(() => createGateway({ rpc: closed.rpc, log: silentLog, clock: closed.clock, publicUrl: "http://x", shopName: "x", origins: ["*"] }), /one by one/);
  });

  it("API-07: the OpenAPI document has exactly the routes", async () => {
    await using shop = await openTestShop();
    const document = (await (await shop.get("/openapi.json")).json()) as { paths: Record<string, Record<string, unknown>> };
    const documented = Object.entries(document.paths).flatMap(([path, item]) => Object.keys(item).map((verb) => `${verb.toUpperCase()} ${path}`));
    const routed = shop.gateway.routes.filter(({ kind }) => kind === "rpc").map(({ verb, template }) => `${verb} ${template}`);
    assert.deepEqual(documented.sort(), routed.sort());
  });

  it("is alive always, ready when it is, and says what each error means", async () => {
    let ready = false;
    await using shop = await openTestShop({ gateway: { ready: async () => ready } });
    assert.equal((await shop.get("/livez")).status, 200);
    await problemIn(await shop.get("/readyz"), 503, "DEPENDENCY_UNAVAILABLE");
    ready = true;
    assert.equal((await shop.get("/readyz")).status, 200);
    const page = await (await shop.get("/docs/errors/CART_EMPTY")).text();
    assert.match(page, /There is nothing in the cart/);
    await problemIn(await shop.get("/docs/errors/NO_SUCH_REASON"), 404, "NOT_FOUND");
    const welcome = await (await shop.get("/")).text();
    assert.match(welcome, /Test &amp; Shop/);
    for (const [, path] of welcome.matchAll(/href="(\/[^"]*)"/g)) assert.equal((await shop.get(path!)).status, 200, path);
  });

  it("names the links that it is given", async () => {
    await using shop: TestShop = await openTestShop({ gateway: { pages: { links: [{ name: "Mailbox", url: "http://localhost:8025/?a=1&b=2", about: "mails" }] } } });
    assert.match(await (await shop.get("/")).text(), /<a href="http:\/\/localhost:8025\/\?a=1&amp;b=2">Mailbox<\/a>/);
  });
});

const nothing = () => undefined;
const silentLog = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };
