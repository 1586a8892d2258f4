import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { requireNoBody } from "../edge/body.ts";
import { problemIn } from "../test-problem.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

describe("gateway: routes", { concurrency: true }, () => {
  it("GW-01: serves every public route of every service, under every path of its contract", async () => {
    await using shop = await openTestShop({
      handlers: { "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }) },
    });
    const admin = await tokenOf(shop, { roles: ["admin"] });
    const routes = shop.gateway.routes;
    assert.ok(routes.length > 30);
    for (const route of routes) {
      const path = route.template.replaceAll(/\{[^}]+\}/g, "some_id-1");
      const takesKey = route.target.contract.keys !== "refused";
      const headers = { Authorization: `Bearer ${admin}`, ...(takesKey && { "Idempotency-Key": "key-1" }) };
      const response =
        route.checkBody !== requireNoBody
          ? await shop.send(route.verb, path, {}, headers)
          : await fetch(shop.url + path, { method: route.verb, headers, redirect: "manual" });
      const text = await response.text();
      if (response.status === 400) assert.match(text, /INVALID_REQUEST/, `${route.verb} ${path}: ${text}`);
      else assert.ok(response.status < 400, `${route.verb} ${path}: ${response.status} ${text}`);
    }
  });

  it("GW-04: refuses paths that no contract routes with a problem, while known routes are served", async () => {
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

  it("serves HEAD like GET, without the body", async () => {
    await using shop = await openTestShop({ handlers: { "CatalogService.getProduct": async () => ({ id: "prd_1", title: "Tea" }) } });
    const get = await shop.get("/v1/products/prd_1");
    const head = await fetch(`${shop.url}/v1/products/prd_1`, { method: "HEAD" });
    assert.equal(head.status, 200);
    assert.equal(await head.text(), "");
    for (const name of ["content-length", "content-type", "etag"]) assert.equal(head.headers.get(name), get.headers.get(name));
    assert.equal(get.headers.get("content-length"), String((await get.text()).length));
  });

  it("GW-11: takes the principal from the token alone, and adds a correlation id", async () => {
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

  it("does not start with a path that no client of the gateway may call", async () => {
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
        /no client of the gateway may call it/,
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
