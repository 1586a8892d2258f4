import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { ProblemSchema } from "@kontor/contracts/gen/kontor/rpc/v1/problem_pb.js";
import { KindsSchema, LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import type { Implementation } from "@kontor/platform/rpc/rpc.ts";
import { parseRateLimits } from "../edge/rate-limits.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";
import type { TestShop } from "../test-shop.ts";

const WatchService = describeService("kontor.testing.v1.WatchService", {
  watch: {
    input: LineSchema,
    output: ThingSchema,
    allow: [Allow.AUTHENTICATED],
    streams: true,
    http: { pattern: { case: "get", value: "/v1/watch" } },
  },
});

function clientOf<S extends DescService>(shop: TestShop, service: S, { token = "", binary = false } = {}) {
  const transport = createConnectTransport({
    baseUrl: shop.url,
    useBinaryFormat: binary,
    interceptors: [
      (next) => (request) => {
        if (token !== "") request.header.set("Authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
  });
  return createClient(service, transport);
}

async function errorOf(call: Promise<unknown>): Promise<ConnectError> {
  const error: unknown = await call.then(
    () => assert.fail("it succeeded"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof ConnectError, String(error));
  return error;
}

const fieldsIn = (error: ConnectError) => error.findDetails(ProblemSchema).flatMap(({ fields }) => fields.map(({ field }) => field));

for (const binary of [false, true])
  describe(`gateway: Connect's protocol, ${binary ? "binary" : "JSON"}`, { concurrency: true }, () => {
    it("a public method is called by anybody", async () => {
      await using shop = await openTestShop({
        handlers: { "CatalogService.listProducts": async () => ({ items: [{ id: "prd_1" }], nextCursor: "more" }) },
      });
      const reply = await clientOf(shop, CatalogService, { binary }).listProducts({ limit: 2 });
      assert.deepEqual([reply.items.map(({ id }) => id), reply.nextCursor], [["prd_1"], "more"]);
      assert.equal((shop.seen[0]!.request as { readonly limit: number }).limit, 2);
      assert.deepEqual([shop.seen[0]?.call.caller, shop.seen[0]?.call.user], ["gateway", undefined]);
      assert.deepEqual(
        shop.lines.map(({ route, status }) => [route, status]),
        [["/kontor.catalog.v1.CatalogService/ListProducts", 200]],
      );
    });

    it("SEC-01: the caller's own token decides what it may call", async () => {
      await using shop = await openTestShop();
      const call = async (claims?: Readonly<Record<string, unknown>>) => {
        const token = claims === undefined ? "" : await tokenOf(shop, claims);
        return clientOf(shop, CatalogService, { token, binary }).archiveProduct({ product: "prd_1" });
      };
      const unauthenticated = await errorOf(call());
      assert.equal(unauthenticated.code, Code.Unauthenticated);
      assert.equal(unauthenticated.metadata.get("WWW-Authenticate"), "Bearer");
      assert.equal((await errorOf(call({}))).code, Code.PermissionDenied);
      const expired = await errorOf(call({ roles: ["admin"], exp: 1 }));
      assert.equal(expired.code, Code.Unauthenticated);
      assert.match(expired.metadata.get("WWW-Authenticate") ?? "", /invalid_token/);
      let hint = "";
      const outdated = clientOf(shop, CatalogService, { token: await tokenOf(shop, { exp: 1 }), binary });
      await outdated.listProducts({}, { onHeader: (headers) => (hint = headers.get("WWW-Authenticate") ?? "") });
      assert.match(hint, /invalid_token/, "a guest's read succeeds, and says why it is a guest's");
      await call({ roles: ["admin"] });
      const calls = shop.seen.filter(({ method }) => method === "CatalogService.archiveProduct");
      assert.deepEqual(
        calls.map(({ call: { user } }) => user?.id),
        ["usr_ann"],
      );
    });

    it("SEC-01: internal methods, webhooks and pages are not there", async () => {
      await using shop = await openTestShop();
      const token = await tokenOf(shop, { roles: ["admin"] });
      for (const call of [
        clientOf(shop, CatalogService, { token, binary }).priceLines({}),
        clientOf(shop, CartsService, { token, binary }).getCartForCheckout({}),
        clientOf(shop, PaymentsService, { token, binary }).receiveWebhook({}),
      ])
        assert.equal((await errorOf(call)).code, Code.Unimplemented);
      assert.deepEqual(shop.seen, []);
    });

    it("a refusal has its code, its detail and a sentence for the client; a fault says nothing", async () => {
      await using shop = await openTestShop({
        handlers: {
          "CatalogService.getProduct": async () => {
            throw refuse({ reason: "NOT_FOUND", code: "not_found", details: { product: "prd_1" } });
          },
          "CatalogService.listProducts": async () => {
            throw new Error("the password is hunter2");
          },
        },
      });
      const client = clientOf(shop, CatalogService, { binary });
      const refusal = await errorOf(client.getProduct({ product: "prd_1" }));
      assert.deepEqual([refusal.code, refusal.rawMessage], [Code.NotFound, "There is no such thing"]);
      const [problem] = refusal.findDetails(ProblemSchema);
      assert.deepEqual([problem?.reason, problem?.details], ["NOT_FOUND", { product: "prd_1" }]);
      const fault = await errorOf(client.listProducts({}));
      assert.deepEqual([fault.code, fault.rawMessage], [Code.Internal, "Something went wrong on our side"]);
      assert.equal(shop.faults.length, 1);
    });

    it("refuses what REST refuses: rules, and fields that only the server sets", async () => {
      const OutputService = describeService("kontor.testing.v1.OutputService", {
        send: {
          input: LineSchema,
          output: ThingSchema,
          allow: [Allow.PUBLIC],
          rest: { idempotency: Idempotency.NONE },
          http: { pattern: { case: "post", value: "/v1/send" }, body: "*" },
        },
        list: {
          input: KindsSchema,
          output: ThingSchema,
          allow: [Allow.PUBLIC],
          rest: { idempotency: Idempotency.NONE },
          http: { pattern: { case: "post", value: "/v1/list" }, body: "*" },
        },
      });
      const more = { send: async () => ({}), list: async () => ({}) };
      await using shop = await openTestShop({ more: (rpc) => rpc.serve("output", [standIn(OutputService, more)]) });
      const admin = clientOf(shop, CatalogService, { token: await tokenOf(shop, { roles: ["admin"] }), binary });
      const tooLong = await errorOf(admin.updateProduct({ product: "prd_1", title: "n".repeat(256) }));
      assert.deepEqual([tooLong.code, fieldsIn(tooLong)], [Code.InvalidArgument, ["title"]]);
      const client = clientOf(shop, OutputService, { binary });
      const texts = Array.from({ length: 1_001 }, () => "a");
      assert.deepEqual(fieldsIn(await errorOf(client.list({ texts }))), ["texts"]);
      assert.deepEqual(fieldsIn(await errorOf(client.send({ sku: "tea", quantity: 1, id: "lin_1" }))), ["id"]);
    });

    it("refuses a request that cannot be read, and does not call it a fault", async () => {
      await using shop = await openTestShop();
      const admin = clientOf(shop, CatalogService, { token: await tokenOf(shop, { roles: ["admin"] }), binary });
      const path = await errorOf(admin.updateProduct({ product: "prd_1", updateMask: { paths: ["not__a_field"] } }));
      // In JSON the client itself cannot write it.
      assert.equal(path.code, binary ? Code.InvalidArgument : Code.Internal);
      assert.deepEqual(shop.faults, []);
    });

    it("an update changes the fields that were sent, or those that its mask names", async () => {
      await using shop = await openTestShop();
      const client = clientOf(shop, CatalogService, { token: await tokenOf(shop, { roles: ["admin"] }), binary });
      const maskOf = async (request: Parameters<typeof client.updateProduct>[0]) => {
        await client.updateProduct(request);
        const { product, updateMask } = shop.seen.at(-1)!.request as {
          readonly product: string;
          readonly updateMask: { readonly paths: string[] };
        };
        assert.equal(product, "prd_1");
        return updateMask.paths;
      };
      assert.deepEqual(await maskOf({ product: "prd_1", title: "Tea" }), ["title"]);
      assert.deepEqual(await maskOf({ product: "prd_1", updateMask: { paths: ["vendor", "description_html"] } }), [
        "vendor",
        "description_html",
      ]);
      const unknown = await errorOf(client.updateProduct({ product: "prd_1", updateMask: { paths: ["nothing"] } }));
      assert.deepEqual([unknown.code, fieldsIn(unknown)], [Code.InvalidArgument, ["updateMask"]]);
    });

    it("an idempotency key is required where REST requires it, and arrives", async () => {
      await using shop = await openTestShop();
      const client = clientOf(shop, CheckoutService, { token: await tokenOf(shop), binary });
      const [problem] = (await errorOf(client.placeOrder({ cart: "crt_1" }))).findDetails(ProblemSchema);
      assert.equal(problem?.reason, "IDEMPOTENCY_KEY_REQUIRED");
      await client.placeOrder({ cart: "crt_1" }, { headers: { "Idempotency-Key": "key-1" } });
      assert.deepEqual(
        shop.seen.filter(({ method }) => method === "CheckoutService.placeOrder").map(({ call }) => call.idempotencyKey),
        ["key-1"],
      );
    });

    it("counts against the same rate limit as REST", async () => {
      await using shop = await openTestShop({ gateway: { rates: parseRateLimits("catalog=2/m") } });
      assert.equal((await shop.get("/v1/products")).status, 200);
      const client = clientOf(shop, CatalogService, { binary });
      await client.listProducts({});
      const { code, metadata } = await errorOf(client.listProducts({}));
      assert.equal(code, Code.ResourceExhausted);
      assert.ok(Number(metadata.get("Retry-After")) > 0);
      assert.match(metadata.get("RateLimit") ?? "", /r=0/);
    });

    it("a time-out that the client sets ends the call", async () => {
      await using shop = await openTestShop({
        handlers: {
          "CatalogService.listProducts": (_: never, call) =>
            new Promise((resolve) => call.signal.addEventListener("abort", () => resolve({}))),
        },
      });
      const { code } = await errorOf(clientOf(shop, CatalogService, { binary }).listProducts({}, { timeoutMs: 100 }));
      assert.equal(code, Code.DeadlineExceeded);
    });

    it("streams deliver all, end with their error, and end when the gateway stops", async () => {
      const ends = Promise.withResolvers<void>();
      const implementation: Implementation<typeof WatchService> = {
        async *watch({ sku, quantity }, call) {
          for (let version = 1; version <= quantity; version++) yield { version };
          if (sku === "failing") throw refuse({ reason: "NOT_FOUND", code: "not_found" });
          if (sku !== "lasting") return;
          await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
          ends.resolve();
        },
      };
      await using shop = await openTestShop({ more: (rpc) => rpc.serve("watch", [implement(WatchService, implementation)]) });
      assert.equal((await errorOf(Array.fromAsync(clientOf(shop, WatchService, { binary }).watch({})))).code, Code.Unauthenticated);
      const client = clientOf(shop, WatchService, { token: await tokenOf(shop), binary });
      assert.equal((await Array.fromAsync(client.watch({ sku: "tea", quantity: 100 }))).length, 100);
      const received: number[] = [];
      const read = async (sku: string, stop: () => void = () => undefined) => {
        for await (const { version } of client.watch({ sku, quantity: 2 })) if (received.push(version) === 4) stop();
      };
      assert.equal((await errorOf(read("failing"))).code, Code.NotFound);
      assert.deepEqual(received, [1, 2]);
      assert.equal((await errorOf(read("lasting", () => void shop.gateway.stop()))).code, Code.Unavailable);
      await ends.promise;
    });
  });
