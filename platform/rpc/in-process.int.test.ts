import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LineSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Logger } from "../telemetry/logger.ts";
import { rootCall } from "../call/call.ts";
import { createInProcessRpc } from "./in-process.ts";
import type { InProcessRpcOptions } from "./in-process.ts";
import { implement } from "./rpc.ts";
import { greeterHandlers, GreeterService, rpcContract } from "./rpc.contract.ts";
import type { OpenRpc } from "./rpc.contract.ts";

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
  it("freezes requests and answers in tests, so that whoever changes one is found", async () => {
    const rpc = createInProcessRpc({ log, freeze: true });
    const greet = async (request: { sku: string }) => {
      assert.throws(() => (request.sku = "coffee"), TypeError);
      return { lines: [{ sku: "tea" }] };
    };
    rpc.serve("greeter", [implement(GreeterService, { ...greeterHandlers, greet })]);
    const client = rpc.clientsFor("orders").of("greeter", GreeterService);
    const answer = await client.greet(create(LineSchema, { sku: "tea", quantity: 1 }), rootCall({ caller: "orders", timeoutMs: 1000 }));
    assert.throws(() => (answer.lines[0]!.sku = "coffee"), TypeError);
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
});
