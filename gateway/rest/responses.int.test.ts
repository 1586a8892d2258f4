import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import {
  LineSchema,
  PlaceThingResponseSchema,
  RawThingRequestSchema,
  RawThingResponseSchema,
  ThingSchema,
  UpdateThingRequestSchema,
} from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { RawThingRequest, UpdateThingRequest } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import { assertSecured, problemIn } from "../test-problem.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

describe("gateway: responses", { concurrency: true }, () => {
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
        rest: {
          idempotency: Idempotency.PER_RESOURCE,
          outcomes: [
            { field: "placed", status: 201, location: "/v1/things/{id}" },
            { field: "pending", status: 202, location: "/v1/pending/{thing}" },
          ],
        },
        http: { pattern: { case: "post", value: "/v1/things" }, body: "*" },
      },
      change: {
        input: UpdateThingRequestSchema,
        output: ThingSchema,
        allow: [Allow.PUBLIC],
        rest: { idempotency: Idempotency.PER_RESOURCE },
        http: { pattern: { case: "patch", value: "/v1/things/{thing}" }, body: "*" },
      },
      go: {
        input: RawThingRequestSchema,
        output: RawThingResponseSchema,
        allow: [Allow.PUBLIC],
        rest: { redirect: "url", idempotency: Idempotency.NONE },
        http: { pattern: { case: "get", value: "/go/{provider}" } },
      },
      page: {
        input: RawThingRequestSchema,
        output: RawThingResponseSchema,
        allow: [Allow.PUBLIC],
        rest: { rawAnswer: "page" },
        http: { pattern: { case: "get", value: "/page/{provider}" } },
      },
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
          standIn(ThingsService, {
            receive: async (request) => (raw.push(request), { id: request.provider }),
            place: async ({ sku }) => ({
              outcome: sku === "tea" ? { case: "placed", value: { id: "a/b ?" } } : { case: "pending", value: { thing: "chk_1" } },
            }),
            change: async (request) => (changes.push(request), { id: request.thing }),
            go: async ({ provider }) => ({ url: `https://${provider}.example/pay?x=1` }),
            page: async () => ({ contentType: "text/html; charset=utf-8", page: Buffer.from("<p>grüezi</p>") }),
            cached: async () => ({ id: "same" }),
          }),
        ]),
    }).then((shop) => ({ ...shop, raw, changes, [Symbol.asyncDispose]: shop[Symbol.asyncDispose] }));
  };

  it("responds to a create with its status and Location, and to an outcome with its own", async () => {
    await using shop = await openThings();
    const placed = await shop.send("POST", "/v1/things", { sku: "tea", quantity: 1 });
    assert.deepEqual([placed.status, placed.headers.get("location")], [201, "/v1/things/a%2Fb%20%3F"]);
    assert.equal(((await placed.json()) as { id: string }).id, "a/b ?");
    const pending = await shop.send("POST", "/v1/things", { sku: "coffee", quantity: 1 });
    assert.deepEqual(
      [pending.status, pending.headers.get("location"), await pending.json()],
      [202, "/v1/pending/chk_1", { thing: "chk_1" }],
    );
    assert.equal(pending.headers.get("cache-control"), "no-store");
  });

  it("sends no body with 204", async () => {
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

  it("passes a raw body on unchanged, with its headers but no credentials", async () => {
    await using shop = await openThings();
    const body = '{ "a" : 1,\n "\u00e9": [ ] }';
    const response = await fetch(`${shop.url}/v1/hooks/stripe`, {
      method: "POST",
      body,
      headers: { "Webhook-Signature": "v1,abc", "Content-Type": "text/odd", Cookie: "a=b" },
    });
    assert.equal(response.status, 202);
    const [request] = shop.raw;
    assert.equal(Buffer.from(request!.body).toString(), body);
    assert.deepEqual(
      [request?.provider, request?.headers["webhook-signature"], request?.headers["cookie"]],
      ["stripe", "v1,abc", undefined],
    );
  });

  it("redirects a browser, and serves a service's page under a strict policy", async () => {
    await using shop = await openThings();
    const redirect = await shop.get("/go/psp");
    assert.deepEqual([redirect.status, redirect.headers.get("location"), await redirect.text()], [303, "https://psp.example/pay?x=1", ""]);
    assert.equal(redirect.headers.get("cache-control"), "no-store");
    const page = await shop.get("/page/psp");
    assert.deepEqual(
      [page.status, page.headers.get("content-type"), await page.text()],
      [200, "text/html; charset=utf-8", "<p>grüezi</p>"],
    );
    assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'; style-src/);
    assertSecured(page);
  });

  it("tags what is read, and responds 304 when it has not changed", async () => {
    await using shop = await openThings();
    const first = await shop.get("/v1/cached");
    const etag = first.headers.get("etag") ?? "";
    assert.match(etag, /^"[\w-]{27}"$/);
    assert.deepEqual([first.headers.get("cache-control"), first.headers.get("vary")], ["public, max-age=60", "Authorization"]);
    for (const sent of [etag, `W/${etag}`, `"x", ${etag}`, "*"]) {
      const again = await shop.get("/v1/cached", { "If-None-Match": sent });
      assert.deepEqual(
        [again.status, await again.text(), again.headers.get("etag"), again.headers.get("vary")],
        [304, "", etag, "Authorization"],
      );
      assertSecured(again);
    }
    assert.equal((await shop.get("/v1/cached", { "If-None-Match": '"other"' })).status, 200);
    const signedIn = await shop.get("/v1/cached", { Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.equal(signedIn.headers.get("cache-control"), "no-store");
    const own = await shop.get("/v1/me", { Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.deepEqual([own.headers.get("cache-control"), own.headers.get("vary")], ["no-store", "Authorization"]);
  });

  it("gives guests and users the same bytes of a message that a service gives again, long ones too, and another message as soon as there is one", async () => {
    const describing = (text: string) => create(ProductSchema, { id: "prd_1", status: ProductStatus.PUBLISHED, descriptionHtml: text });
    let product = describing("Süß. ".repeat(2_000));
    await using shop = await openTestShop({ handlers: { "CatalogService.getProduct": async () => product } });
    const read = async (headers: Record<string, string> = {}) => {
      const response = await shop.get("/v1/products/prd_1", headers);
      const text = await response.text();
      assert.deepEqual([response.status, response.headers.get("content-length")], [200, String(Buffer.byteLength(text))]);
      assert.equal((JSON.parse(text) as { descriptionHtml: string }).descriptionHtml, product.descriptionHtml);
      return { etag: response.headers.get("etag"), cacheControl: response.headers.get("cache-control") };
    };
    const first = await read();
    assert.deepEqual(await read(), first);
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    assert.deepEqual(await read(headers), { etag: first.etag, cacheControl: "no-store" });
    assert.equal((await shop.get("/v1/products/prd_1", { "If-None-Match": first.etag! })).status, 304);
    product = describing("Sour.");
    assert.notEqual((await read()).etag, first.etag);
    assert.equal((await shop.get("/v1/products/prd_1", { "If-None-Match": first.etag! })).status, 200);
  });

  it("requires an Idempotency-Key where the contract does, and passes a valid one on", async () => {
    await using shop = await openTestShop({
      handlers: { "CheckoutService.placeOrder": async () => ({ outcome: { case: "order", value: { id: "ord_1" } } }) },
    });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}` };
    for (const path of ["/v1/orders", "/orders"])
      await problemIn(await shop.send("POST", path, { cart: "c" }, headers), 400, "IDEMPOTENCY_KEY_REQUIRED");
    for (const key of ["with space", "x".repeat(256), "", "\u00e9"])
      await problemIn(await shop.send("POST", "/v1/orders", { cart: "c" }, { ...headers, "Idempotency-Key": key }), 400, "INVALID_REQUEST");
    const ordersSeen = () => shop.seen.filter(({ method }) => method === "CheckoutService.placeOrder");
    assert.equal(ordersSeen().length, 0);
    const placed = await shop.send("POST", "/v1/orders", { cart: "c" }, { ...headers, "Idempotency-Key": "k".repeat(255) });
    assert.deepEqual([placed.status, placed.headers.get("location")], [201, "/v1/orders/ord_1"]);
    assert.equal(ordersSeen()[0]?.call.idempotencyKey, "k".repeat(255));
  });

  it("S12: refuses an Idempotency-Key where the contract takes none, and leaves a webhook's headers to its sender", async () => {
    await using shop = await openTestShop();
    const key = { "Idempotency-Key": "k" };
    const problem = await problemIn(await shop.send("POST", "/v1/carts", { currency: "EUR" }, key), 400, "INVALID_REQUEST");
    const message = "is not taken here: a repeat is executed again";
    assert.deepEqual(problem["errors"], [{ field: "Idempotency-Key", reason: "NOT_TAKEN", message }]);
    assert.ok(!shop.seen.some(({ method }) => method === "CartsService.createCart"));
    assert.equal((await shop.send("POST", "/v1/payments/webhooks/builtin", {}, key)).status, 204);
  });
});
