import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { LineSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Thing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { contractOf } from "../../contract/contract.ts";
import { refusalIn } from "../../errors/refusal.ts";
import { createInProcessRpc } from "../in-process.ts";
import { createRemoteService } from "../remote-service.ts";
import { implement } from "../rpc.ts";
import { rpcContract } from "../rpc.contract.ts";
import { aborted, callOf, greeterHandlers, GreeterService, turns } from "../test-greeter.ts";
import type { GreeterHandlers, OpenRpc } from "../test-greeter.ts";
import { TransportFailure } from "../transport.ts";
import type { RemoteService, Transport } from "../transport.ts";
import { frameKind, prefixBytes, writePrefix } from "./frames.ts";
import { calleeOf, openCallee, openStream } from "./test-call-stream.ts";

/** Every unary call on a call stream, each caller on its own; streaming methods as in one process. */
const overCallStreams: OpenRpc = async ({ services, log, limits }) => {
  const rpc = createInProcessRpc({ log, ...(limits && { limits }) });
  for (const [name, routes] of Object.entries(services)) rpc.serve(name, routes);
  const callee = calleeOf(rpc, log);
  const transportTo = (service: string): Transport => {
    const streams = new Map<string, ReturnType<typeof openStream>>();
    return {
      unary(method, request, call) {
        let opened = streams.get(call.caller);
        if (opened === undefined) {
          streams.set(call.caller, (opened = openStream()));
          callee.serve(opened.ends[1], { caller: call.caller, service });
        }
        return opened.stream.unary(method, request, call);
      },
      stream: ({ service: contract, method }, request, call) =>
        rpc.methods.stream(rpc.methods.find(service, contract, method.localName)!, request, call),
      close: () => undefined,
    };
  };
  const remotes = new Map<string, RemoteService>();
  const to = (service: string) => {
    let remote = remotes.get(service);
    if (remote === undefined) remotes.set(service, (remote = createRemoteService({ service, transport: transportTo(service), log })));
    return remote;
  };
  const caller = createInProcessRpc({ log, remotes: { to, figures: () => [], close: () => undefined } });
  return { clientsFor: (name) => caller.clientsFor(name), stop: () => rpc.stop() };
};

rpcContract("call streams", overCallStreams);

const greet = contractOf(GreeterService.method.greet);
const line = (sku = "tea") => create(LineSchema, { sku, quantity: 1 });
const parties = { caller: "orders", service: "greeter" };

/** As protobuf's wire format has bytes. */
function lengthAndBytes(bytes: Buffer): Uint8Array {
  return new BinaryWriter().bytes(bytes).finish();
}

/** A greeter and a call stream to it. */
function open(handlers: Partial<GreeterHandlers> = {}) {
  const callee = openCallee({ greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })] });
  const opened = openStream();
  callee.serve(opened.ends[1], parties);
  return { ...opened, callee, greet: (sku = "tea", call = callOf()) => opened.stream.unary(greet, line(sku), call) };
}

const outcome = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "succeeded",
    (error: unknown) =>
      error instanceof TransportFailure ? (error.notExecuted ? "not executed" : "unknown") : (refusalIn(error)?.reason ?? String(error)),
  );

describe("a call stream", { concurrency: true }, () => {
  it("carries the calls of a turn in one write, and each reply when it is there: a slow call delays nobody", async () => {
    const finish = Promise.withResolvers<void>();
    const { greet: call, ends } = open({
      greet: async ({ sku }) => {
        if (sku === "slow") await finish.promise;
        return { id: sku };
      },
    });
    let writes = 0;
    ends[1].on("data", () => writes++);
    const slow = call("slow");
    const fast = Array.from({ length: 99 }, (_, n) => call(`fast-${n}`));
    const replies = await Promise.all(fast);
    assert.equal(writes, 1);
    assert.deepEqual(
      replies.map((reply) => "id" in reply && reply.id),
      Array.from({ length: 99 }, (_, n) => `fast-${n}`),
    );
    finish.resolve();
    await slow;
  });

  it("a huge request and a huge reply arrive whole, and small calls overtake them", async () => {
    const performed: string[] = [];
    const huge = randomBytes(5 * 1024 * 1024).toString("latin1");
    const { greet: call, stream } = open({
      greet: async ({ sku, $unknown = [] }) => {
        performed.push(sku);
        return { displayName: sku === "small" ? sku : huge, version: $unknown[0]?.data.length ?? 0 };
      },
    });
    // A field that this version does not know is carried along.
    const request = Object.assign(line("huge"), { $unknown: [{ no: 1_000, wireType: 2, data: lengthAndBytes(Buffer.from(huge)) }] });
    const returned: string[] = [];
    const calls = [stream.unary(greet, request, callOf()), call("small"), call("huge"), call("small")].map(async (reply) => {
      const thing = (await reply) as Thing; // of this method
      returned.push(thing.displayName === huge ? "huge" : thing.displayName);
      return thing;
    });
    const [first] = await Promise.all(calls);
    assert.deepEqual(performed, ["small", "huge", "small", "huge"]);
    assert.deepEqual(returned, ["small", "small", "huge", "huge"]);
    assert.equal(first?.version, lengthAndBytes(Buffer.from(huge)).length);
  });

  it("a callee that dies with 100 calls in flight leaves their outcome unknown; those that were not sent were not executed", async () => {
    const started = Promise.withResolvers<void>();
    let seen = 0;
    const {
      greet: call,
      ends,
      stream,
    } = open({
      greet: async (_, { signal }) => {
        if (++seen === 100) started.resolve();
        await aborted(signal);
        return {};
      },
    });
    const sent = Array.from({ length: 100 }, () => outcome(call()));
    await started.promise;
    const unsent = Array.from({ length: 10 }, () => outcome(call()));
    ends[0].destroy(new Error("the connection was reset"));
    ends[1].destroy();
    assert.deepEqual(new Set(await Promise.all(sent)), new Set(["unknown"]));
    assert.deepEqual(new Set(await Promise.all(unsent)), new Set(["not executed"]));
    assert.equal(stream.closed, true);
  });

  it("a caller that disconnects ends all work behind its calls", async () => {
    const signals: AbortSignal[] = [];
    const started = Promise.withResolvers<void>();
    const { greet: call, ends } = open({
      greet: async (_, { signal }) => {
        signals.push(signal);
        if (signals.length === 3) started.resolve();
        await aborted(signal);
        return {};
      },
    });
    const calls = [call(), call(), call()].map(outcome);
    await started.promise;
    ends[1].destroy();
    await Promise.all(signals.map(aborted));
    ends[0].destroy();
    await Promise.all(calls);
  });

  it("a caller that cancels tells the callee, and the other calls go on", async () => {
    const signals = new Map<string, AbortSignal>();
    const started = Promise.withResolvers<void>();
    const finish = Promise.withResolvers<void>();
    const { greet: call } = open({
      greet: async ({ sku }, { signal }) => {
        signals.set(sku, signal);
        if (signals.size === 2) started.resolve();
        await finish.promise;
        return {};
      },
    });
    const cancelled = new AbortController();
    const one = outcome(call("one", callOf({ signal: cancelled.signal })));
    const two = outcome(call("two"));
    await started.promise;
    cancelled.abort();
    assert.equal(await one, "DEADLINE_EXCEEDED");
    await aborted(signals.get("one")!);
    assert.equal(signals.get("two")!.aborted, false);
    finish.resolve();
    assert.equal(await two, "succeeded");
  });

  it("a call that was cancelled before it was sent is not sent", async () => {
    let seen = 0;
    const { greet: call } = open({ greet: async () => (seen++, {}) });
    const cancelled = AbortSignal.abort();
    assert.equal(await outcome(call("one", callOf({ signal: cancelled }))), "DEADLINE_EXCEEDED");
    await call("two");
    assert.equal(seen, 1);
  });

  it("when the server stops, calls under way end, and those that were on their way are performed", async () => {
    const finish = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const {
      greet: call,
      callee,
      stream,
    } = open({
      greet: async ({ sku }) => {
        started.resolve();
        if (sku === "slow") await finish.promise;
        return {};
      },
    });
    const slow = outcome(call("slow"));
    await started.promise;
    const stopped = callee.stop();
    const onItsWay = outcome(call("late"));
    assert.equal(await onItsWay, "succeeded");
    while (!stream.closed) await turns(1);
    finish.resolve();
    assert.equal(await slow, "succeeded");
    await stopped;
  });

  it("half a frame is no call, and what is no frame ends the stream", async () => {
    let seen = 0;
    const { callee } = open({ greet: async () => (seen++, {}) });
    const head = Buffer.alloc(prefixBytes);
    writePrefix(head, 0, { kind: frameKind.call, call: 1, bytes: 100 });
    for (const bytes of [head, Buffer.concat([head, Buffer.alloc(50)])]) {
      const { ends } = openStream();
      callee.serve(ends[1], parties);
      ends[0].end(bytes);
      await new Promise((resolve) => ends[1].once("close", resolve));
    }
    for (const bytes of [Buffer.alloc(100, 0xff), Buffer.alloc(100), Buffer.concat([head, Buffer.alloc(100, 0xff)])]) {
      const { ends } = openStream();
      callee.serve(ends[1], parties);
      ends[1].on("error", () => undefined);
      ends[0].write(bytes);
      await new Promise((resolve) => ends[1].once("close", resolve));
    }
    assert.equal(seen, 0);
  });

  it("a reply that is no message is the callee's fault, and what is no frame breaks the stream", async () => {
    const answered = async (answer: (number: number) => Buffer) => {
      const { stream, ends } = openStream();
      ends[1].once("data", () => ends[1].write(answer(1)));
      return outcome(stream.unary(greet, line(), callOf()));
    };
    const frame = (kind: number, content: Buffer) => {
      const bytes = Buffer.alloc(prefixBytes + content.length);
      content.copy(bytes, writePrefix(bytes, 0, { kind, call: 1, bytes: content.length }));
      return bytes;
    };
    assert.equal(await answered(() => frame(frameKind.reply, Buffer.alloc(10, 0xff))), "unknown");
    assert.equal(await answered(() => frame(frameKind.failed, Buffer.alloc(10, 0xff))), "unknown");
    assert.equal(await answered(() => frame(77, Buffer.alloc(10))), "unknown");
    assert.equal(await answered(() => Buffer.alloc(10, 0xff)), "unknown");
  });

  it("while the caller reads no replies, no more calls are read", async () => {
    let seen = 0;
    const { greet: call, ends } = open({ greet: async () => (seen++, { displayName: "n".repeat(60_000) }) });
    ends[0].pause();
    const calls: Promise<unknown>[] = [];
    for (let n = 0; n < 100; n++) {
      calls.push(call());
      await turns(2);
    }
    assert.ok(seen < 50, `${seen} were performed`);
    ends[0].resume();
    await Promise.all(calls);
    assert.equal(seen, 100);
  });

  it("a method that is not served there was not executed", async () => {
    const callee = openCallee({});
    const { stream, ends } = openStream();
    callee.serve(ends[1], parties);
    assert.equal(await outcome(stream.unary(greet, line(), callOf())), "not executed");
  });
});
