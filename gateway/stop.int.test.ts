import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { messageEnvelope } from "@kontor/platform/rpc/connect/envelope.ts";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Implementation } from "@kontor/platform/rpc/rpc.ts";
import { openTestShop } from "./test-shop.ts";

const WatchService = describeService("kontor.testing.v1.WatchService", {
  watch: {
    input: LineSchema,
    output: ThingSchema,
    allow: [Allow.PUBLIC],
    streams: true,
    http: { pattern: { case: "get", value: "/v1/watch" } },
  },
});
const envelope = messageEnvelope('{"sku":"tea","quantity":1}');
const connectHead = `POST /${WatchService.typeName}/Watch HTTP/1.1\r\nHost: x\r\nContent-Type: application/connect+json\r\nContent-Length: ${envelope.length}\r\n\r\n`;
/** On connections that are kept for the next request. */
const streamRequests = {
  REST: Buffer.from("GET /v1/watch?sku=tea&quantity=1 HTTP/1.1\r\nHost: x\r\n\r\n"),
  Connect: Buffer.concat([Buffer.from(connectHead), envelope]),
};

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

// One after the other: a response that fills all buffers takes time to write.
describe("gateway: stopping with streams", () => {
  for (const [protocol, request] of Object.entries(streamRequests))
    for (const reads of [true, false])
      it(`RES-08: a ${protocol} stream ${reads ? "leaves no connection open that could be used again" : "that its client does not read is cut"}`, async () => {
        // More than the buffers between here and there hold.
        const displayName = reads ? "tea" : "x".repeat(16_000_000);
        const implementation: Implementation<typeof WatchService> = {
          async *watch(_, { signal }) {
            yield { displayName };
            if (!signal.aborted) await once(signal, "abort");
          },
        };
        await using shop = await openTestShop({ more: (rpc) => rpc.serve("watch", [implement(WatchService, implementation)]) });
        const { hostname, port } = new URL(shop.url);
        const socket = connect(Number(port), hostname).on("error", () => undefined);
        socket.write(request);
        const [begun] = (await once(socket, "data")) as [Buffer];
        assert.match(begun.toString("latin1"), /^HTTP\/1\.1 200 /);
        if (reads) socket.resume();
        else socket.pause();
        const startedMs = performance.now();
        await shop.gateway.stop();
        assert.ok(performance.now() - startedMs < 5_000);
        socket.destroy();
      });
});
