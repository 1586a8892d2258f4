import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createGateway } from "../gateway.ts";
import { assertSecured } from "../test-problem.ts";
import { openTestShop } from "../test-shop.ts";

describe("gateway: headers", { concurrency: true }, () => {
  it("GW-05: every response carries the security headers, errors included", async () => {
    await using shop = await openTestShop();
    for (const path of [
      "/v1/products",
      "/v1/me",
      "/nowhere",
      "/",
      "/docs",
      "/docs/api-reference.js",
      "/openapi.json",
      "/livez",
      "/readyz",
      "/docs/errors",
      "/docs/errors/NOT_FOUND",
    ]) {
      const response = await shop.get(path);
      await response.text();
      assertSecured(response);
      assert.equal(response.headers.get("strict-transport-security"), null);
    }
  });

  it("GW-05: sends Strict-Transport-Security where the shop's address is https", async () => {
    await using shop = await openTestShop({ gateway: { publicUrl: "https://shop.example" } });
    assert.match((await shop.get("/v1/products")).headers.get("strict-transport-security") ?? "", /max-age=31536000/);
  });

  it("GW-06: lets the origins that are named call it, and no others, never with credentials", async () => {
    await using shop = await openTestShop({ gateway: { origins: ["https://shop.example"] } });
    const preflight = (origin: string) =>
      fetch(`${shop.url}/v1/me`, {
        method: "OPTIONS",
        headers: { Origin: origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization" },
      });
    const good = await preflight("https://shop.example");
    assert.deepEqual([good.status, good.headers.get("access-control-allow-origin")], [204, "https://shop.example"]);
    assert.match(good.headers.get("access-control-allow-headers") ?? "", /Authorization/);
    const bad = await preflight("https://evil.example");
    assert.equal(bad.headers.get("access-control-allow-origin"), null);
    const response = await shop.get("/v1/products", { Origin: "https://shop.example" });
    assert.deepEqual(
      [response.headers.get("access-control-allow-origin"), response.headers.get("vary")],
      ["https://shop.example", "Authorization, Origin"],
    );
    for (const one of [good, bad, response]) assert.equal(one.headers.get("access-control-allow-credentials"), null);
    await using closed = await openTestShop();
    const none = await closed.get("/v1/products", { Origin: "https://shop.example" });
    assert.equal(none.headers.get("access-control-allow-origin"), null);
    assert.throws(
      () => createGateway({ rpc: closed.rpc, log: silentLog, clock: closed.clock, publicUrl: "http://x", shopName: "x", origins: ["*"] }),
      /one by one/,
    );
  });
});

const nothing = () => undefined;
const silentLog = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };
