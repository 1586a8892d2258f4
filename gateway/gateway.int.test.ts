import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { requireNoBody } from "./edge/body.ts";
import { problemIn } from "./test-problem.ts";
import { openTestShop, tokenOf } from "./test-shop.ts";

describe("gateway: routes", { concurrency: true }, () => {
  it("GW-01: reaches every public route of every service, under every path that the contract gives it", async () => {
    await using shop = await openTestShop({
      handlers: { "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }) },
    });
    const admin = await tokenOf(shop, { roles: ["admin"] });
    const routes = shop.gateway.routes;
    assert.ok(routes.length > 30);
    for (const route of routes) {
      const path = route.template.replaceAll(/\{[^}]+\}/g, "some_id-1");
      const headers = { Authorization: `Bearer ${admin}`, "Idempotency-Key": "key-1" };
      const response =
        route.checkBody !== requireNoBody
          ? await shop.send(route.verb, path, {}, headers)
          : await fetch(shop.url + path, { method: route.verb, headers, redirect: "manual" });
      const text = await response.text();
      if (response.status === 400) assert.match(text, /INVALID_REQUEST/, `${route.verb} ${path}: ${text}`);
      else assert.ok(response.status < 400, `${route.verb} ${path}: ${response.status} ${text}`);
    }
  });

  it("GW-04: refuses what no contract routes, in the one shape, while known routes answer", async () => {
    await using shop = await openTestShop();
    for (const path of [
      "/v2/products",
      "/v1",
      "/v1/products/",
      "//v1/products",
      "/V1/products",
      "/graphql",
      "/v1/products/a/b/c",
      "/v1/%zz",
      "/.env",
      "/v1/accounts",
    ])
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
    assert.deepEqual(
      [call.caller, call.correlation, call.trace.traceId, call.trace.spanId],
      ["gateway", "basket-4711", "a".repeat(32), "b".repeat(16)],
    );
    assert.doesNotMatch(JSON.stringify(request), /admin/);
    const other = await shop.get("/v1/me", { ...headers, "X-Correlation-Id": "a b\u00ff{}", traceparent: "00-00-00-00" });
    assert.match(other.headers.get("x-correlation-id") ?? "", /^[0-9a-f]{32}$/);
  });

  it("does not start with a path that nobody at the edge may call", async () => {
    for (const allow of [[Allow.INTERNAL], []])
      await assert.rejects(
        openTestShop({
          more: (rpc) => {
            const service = describeService("kontor.testing.v1.HiddenService", {
              peek: { input: ThingSchema, output: ThingSchema, allow, http: { pattern: { case: "get", value: "/v1/hidden" } } },
            });
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
          throw refuse({
            reason: "TEA_IS_COLD",
            code,
            details: { degrees: 20 },
            fields: [{ field: "pot.lid", reason: "OPEN", message: "must be closed" }],
          });
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
    const order = async (cart: string) =>
      shop.send("POST", "/v1/orders", { cart }, { Authorization: `Bearer ${await tokenOf(shop)}`, "Idempotency-Key": "k" });
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

  it("RES-06, RES-04: each service that is away is answered for with 503, Retry-After and a problem, and the others go on", async () => {
    let away = "";
    const gone = (service: string) => async () => {
      if (away === service) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 2_000 });
      return {};
    };
    await using shop = await openTestShop({
      handlers: {
        "IdentityService.getMe": gone("identity"),
        "CatalogService.listProducts": gone("catalog"),
        "CartsService.getCart": gone("carts"),
        "PaymentsService.getPayment": gone("payments"),
      },
    });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    const routes = {
      identity: "/v1/me",
      catalog: "/v1/products",
      carts: `/v1/carts/crt_${"0".repeat(26)}`,
      payments: "/v1/payments/pay_1",
    };
    for (const [service] of Object.entries(routes)) {
      away = service;
      for (const [other, path] of Object.entries(routes)) {
        const response = await shop.get(path, headers);
        if (other !== service) assert.ok(response.status < 500, `${other} without ${service}: ${await response.text()}`);
        else {
          await problemIn(response, 503, "DEPENDENCY_UNAVAILABLE");
          assert.equal(response.headers.get("retry-after"), "2");
        }
      }
    }
  });
});
