import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { openTestShop } from "./test-shop.ts";

describe("gateway: stopping", { concurrency: true }, () => {
  it("RES-08: stopping turns readiness off, finishes requests in progress and closes connections", async () => {
    const gate = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    await using shop = await openTestShop({
      handlers: { "CatalogService.listProducts": async () => (started.resolve(), await gate.promise, {}) },
    });
    const { hostname, port } = new URL(shop.url);
    // One that is idle, one that has sent nothing and one that is being served: none delays the stop for longer than its work.
    await (await shop.get("/livez")).text();
    const silent = connect(Number(port), hostname);
    await once(silent, "connect");
    const response = shop.raw("GET /v1/products HTTP/1.1\r\nHost: x\r\n\r\n");
    await started.promise;
    let stopped = false;
    const startedMs = performance.now();
    const stopping = shop.gateway.stop().then(() => (stopped = true));
    await assert.rejects(fetch(`${shop.url}/livez`));
    assert.equal(stopped, false);
    gate.resolve();
    const text = await response;
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.match(text, /\r\nConnection: close\r\n/i);
    await stopping;
    assert.ok(performance.now() - startedMs < 5000);
    silent.destroy();
    await shop.gateway.stop();
  });

  it("RES-08: while it drains it still serves, not ready and closing connections", async () => {
    await using shop = await openTestShop({ gateway: { drainMs: 1_000 } });
    const stopping = shop.gateway.stop();
    const ready = await shop.get("/readyz");
    assert.deepEqual([ready.status, ready.headers.get("connection")], [503, "close"]);
    await ready.text();
    assert.equal((await shop.get("/v1/products")).status, 200);
    await stopping;
    await assert.rejects(shop.get("/livez"));
  });

  it("RES-08: cuts what does not end in time", async () => {
    const never = Promise.withResolvers<object>();
    const started = Promise.withResolvers<void>();
    const shop = await openTestShop({
      handlers: { "CatalogService.listProducts": () => (started.resolve(), never.promise) },
      gateway: { stopMs: 50 },
    });
    const request = shop.get("/v1/products");
    await started.promise;
    await Promise.all([shop.gateway.stop(), assert.rejects(request)]);
    never.resolve({});
    await shop[Symbol.asyncDispose]();
  });
});
