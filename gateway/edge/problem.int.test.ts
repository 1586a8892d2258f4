import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { problemIn } from "../test-problem.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

describe("gateway: errors", { concurrency: true }, () => {
  it("API-10: every code has its status, every error is a problem", async () => {
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

  it("API-10: a fault's response says nothing about it", async () => {
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

  it("API-10: a result that has no HTTP form is a fault", async () => {
    await using shop = await openTestShop({ handlers: { "CheckoutService.placeOrder": async () => ({}) } });
    const headers = { Authorization: `Bearer ${await tokenOf(shop)}`, "Idempotency-Key": "k" };
    await problemIn(await shop.send("POST", "/v1/orders", { cart: "c" }, headers), 500, "INTERNAL_ERROR");
    assert.equal(shop.faults.length, 1);
  });

  it("RES-06, RES-04: for each unavailable service the response is 503, Retry-After and a problem, while the others are served", async () => {
    let unavailable = "";
    const failing = (service: string) => async () => {
      if (unavailable === service) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 2_000 });
      return {};
    };
    await using shop = await openTestShop({
      handlers: {
        "IdentityService.getMe": failing("identity"),
        "CatalogService.listProducts": failing("catalog"),
        "CartsService.getCart": failing("carts"),
        "PaymentsService.getPayment": failing("payments"),
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
      unavailable = service;
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
