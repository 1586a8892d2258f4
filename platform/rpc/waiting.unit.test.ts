import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { ReadThingSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { methodsOf } from "../contract/contract.ts";
import { describeService } from "./describe-service.ts";
import { implement } from "./rpc.ts";
import { createInProcessRpc } from "./in-process.ts";
import { readThing } from "./rpc-waits.contract.ts";
import { ReadingService } from "./test-reading.ts";
import { GreeterService, greeterHandlers } from "./test-greeter.ts";
import { silentLog } from "./test-wire.ts";
import { waiting } from "./waiting.ts";

const serving = (routes: Parameters<ReturnType<typeof createInProcessRpc>["serve"]>[1]) => () =>
  createInProcessRpc({ log: silentLog }).serve("test", routes);

describe("handlers that wait for a change", () => {
  it("are those of the methods whose contract says so, and no others", () => {
    serving([readThing().route])();
    const plain = implement(ReadingService, { read: async () => ({}) });
    assert.throws(serving([plain]), /ReadingService\.Read waits for changes, and its handler does not/);
    const { watch, isPending } = readThing().route.implementation["read"] as unknown as ReturnType<typeof waiting>;
    const greet = waiting({ read: async () => ({}), isPending, watch });
    assert.throws(
      serving([implement(GreeterService, { ...greeterHandlers, greet })]),
      /GreeterService\.Greet waits for changes, and its contract/,
    );
  });

  it("have a contract that names an output-only Wait of a read", () => {
    const thing = { input: ReadThingSchema, output: ThingSchema, allow: [Allow.PUBLIC] } as const;
    const get = { pattern: { case: "get", value: "/v1/read/{sku}" } } as const;
    const contract = (method: object) => () =>
      methodsOf(describeService("kontor.testing.v1.WrongService", { read: { ...thing, ...method } }));
    assert.equal(contract({ http: get, rest: { wait: "wait" } })()[0]?.wait?.name, "wait");
    assert.equal(contract({ http: get })()[0]?.wait, undefined);
    for (const wait of ["sku", "nothing"])
      assert.throws(
        contract({ http: get, rest: { wait } }),
        /WrongService\.Read waits by (sku|nothing), which is not an output-only field/,
      );
    const post = { pattern: { case: "post", value: "/v1/read" }, body: "*" };
    assert.throws(contract({ http: post, rest: { wait: "wait" } }), /cannot wait for a change: it is no read/);
    assert.throws(contract({ http: get, streams: true, rest: { wait: "wait" } }), /cannot wait for a change: it is no read/);
  });
});
