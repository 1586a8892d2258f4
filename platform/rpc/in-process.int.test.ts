import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LineSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Logger } from "../telemetry/logger.ts";
import { rootCall } from "../call/call.ts";
import { createInProcessRpc } from "./in-process.ts";
import type { InProcessRpcOptions } from "./in-process.ts";
import { implement } from "./rpc.ts";
import { rpcContract } from "./rpc.contract.ts";
import { readThing } from "./rpc-waits.contract.ts";
import { ReadingService } from "./test-reading.ts";
import { greeterHandlers, GreeterService } from "./test-greeter.ts";
import type { OpenRpc } from "./test-greeter.ts";

const openWith =
  (fixed: Partial<InProcessRpcOptions>): OpenRpc =>
  async ({ services, ...options }) => {
    const rpc = createInProcessRpc({ ...options, ...fixed });
    for (const [name, routes] of Object.entries(services)) rpc.serve(name, routes);
    return rpc;
  };

rpcContract("in process", openWith({}));
rpcContract("in process, frozen", openWith({ freeze: true }));

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

describe("in-process rpc", () => {
  it("RES-08: stopping ends reads that wait, with what they have read", async () => {
    const thing = readThing();
    const rpc = createInProcessRpc({ log });
    rpc.serve("reading", [thing.route]);
    const read = thing.nextRead();
    const call = rootCall({ caller: "gateway", timeoutMs: 20_000 });
    const reply = rpc
      .clientsFor("gateway")
      .of("reading", ReadingService)
      .read({ sku: "tea", wait: { forMs: 10_000 } }, call);
    await read;
    await rpc.stop();
    assert.deepEqual([(await reply).version, thing.reads()], [1, 1]);
  });

  it("freezes requests and responses in tests, so that changing one throws", async () => {
    const rpc = createInProcessRpc({ log, freeze: true });
    const greet = async (request: { sku: string }) => {
      assert.throws(() => (request.sku = "coffee"), TypeError);
      return { lines: [{ sku: "tea" }] };
    };
    rpc.serve("greeter", [implement(GreeterService, { ...greeterHandlers, greet })]);
    const client = rpc.clientsFor("orders").of("greeter", GreeterService);
    const response = await client.greet(create(LineSchema, { sku: "tea", quantity: 1 }), rootCall({ caller: "orders", timeoutMs: 1000 }));
    assert.throws(() => (response.lines[0]!.sku = "coffee"), TypeError);
    await rpc.stop();
  });

  it("does not start with a contract served twice or not implemented", () => {
    const rpc = createInProcessRpc({ log });
    const { greet: _, ...some } = greeterHandlers;
    assert.throws(
      () => rpc.serve("greeter", [implement(GreeterService, some as typeof greeterHandlers)]),
      /greeter does not implement .*GreeterService.Greet/,
    );
    rpc.serve("shop", [implement(GreeterService, greeterHandlers)]);
    assert.throws(() => rpc.serve("shop", [implement(GreeterService, greeterHandlers)]), /twice/);
    assert.deepEqual([...rpc.served().keys()], ["shop"]);
  });

  it("does not check access again for the gateway, and does all the rest", async () => {
    const rpc = createInProcessRpc({ log, limits: { inFlight: 2, waiting: 0 } });
    const release = Promise.withResolvers<void>();
    const manage = async () => {
      await release.promise;
      return {};
    };
    rpc.serve("greeter", [implement(GreeterService, { ...greeterHandlers, manage, greet: manage })]);
    const call = rootCall({ caller: "gateway", timeoutMs: 20_000 });
    const tea = create(LineSchema, { sku: "tea", quantity: 1 });
    const gateway = rpc.clientsFor("gateway", { admitted: true }).of("greeter", GreeterService);
    const other = rpc.clientsFor("gateway").of("greeter", GreeterService);
    const admitted = [gateway.manage(tea, call), other.greet(tea, call)];
    await assert.rejects(other.manage(tea, call), { reason: "UNAUTHENTICATED" });
    // One limit for the gateway of this process and for those of others.
    for (const client of [gateway, other]) {
      await assert.rejects(client.greet(tea, call), { reason: "OVERLOADED" });
      await assert.rejects(Array.fromAsync(client.watch(tea, call)), { reason: "OVERLOADED" });
    }
    await assert.rejects(gateway.manage({ sku: "", quantity: 1 }, call), { reason: "INVALID_REQUEST" });
    await assert.rejects(gateway.manage(tea, call.with({ deadlineMs: performance.now() - 1 })), { reason: "DEADLINE_EXCEEDED" });
    release.resolve();
    await Promise.all(admitted);
    await rpc.stop();
    await assert.rejects(gateway.manage(tea, call), { reason: "DEPENDENCY_UNAVAILABLE" });
  });
});
