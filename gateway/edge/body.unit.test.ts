import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { PassThrough } from "node:stream";
import { describe, it } from "node:test";
import { heapUsed } from "@kontor/platform/testing/heap-used.ts";
import { BodyBudget } from "./body-budget.ts";
import { BodyReader } from "./body.ts";
import type { Exchange } from "./exchange.ts";

function setup(bytesMax: number) {
  const request = Object.assign(new PassThrough(), { headers: { "transfer-encoding": "chunked" } });
  const bodies = new BodyReader({ bytesMax, budget: new BodyBudget(bytesMax) });
  // A request is a stream with headers, as far as its body goes.
  const exchange = { request: request as unknown as IncomingMessage } as Exchange;
  return { request, bodies, read: bodies.read(exchange, () => undefined) };
}

describe("a body", () => {
  it("is the same however it is cut into chunks", async () => {
    const text = "0123456789".repeat(100);
    for (const length of [1, 3, 500, 999, 1000]) {
      const { request, read } = setup(1000);
      for (let at = 0; at < text.length; at += length) request.emit("data", Buffer.from(text.slice(at, at + length)));
      request.emit("end");
      assert.equal(String(await read), text);
    }
  });

  it("occupies as much memory as it has bytes, however small its chunks", async () => {
    const { request, read } = setup(200_000);
    const before = await heapUsed();
    for (let n = 0; n < 200_000; n++) request.emit("data", Buffer.from("x"));
    const grown = (await heapUsed()) - before;
    assert.ok(grown < 5_000_000, `${grown} bytes`);
    request.emit("end");
    assert.equal((await read)?.length, 200_000);
  });
});
