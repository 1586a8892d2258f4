import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ReadThingSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { ReadThing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { insideTransaction } from "../database/in-transaction.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { Call } from "../call/call.ts";
import type { CallInit } from "../call/call.ts";
import { describeService } from "./describe-service.ts";
import { createRemoteService } from "./remote-service.ts";
import type { Client } from "./rpc.ts";
import { TransportFailure } from "./transport.ts";
import type { Transport } from "./transport.ts";

const line = { input: LineSchema, output: ThingSchema, allow: [Allow.PUBLIC] } as const;
const ShopService = describeService("kontor.testing.v1.ShopService", {
  read: { ...line, http: { pattern: { case: "get", value: "/v1/things/{sku}" } } },
  write: { ...line, http: { pattern: { case: "post", value: "/v1/things" }, body: "*" } },
  redirect: { ...line, http: { pattern: { case: "get", value: "/v1/pay/{sku}" } }, rest: { redirect: "id" } },
  add: { ...line, http: { pattern: { case: "post", value: "/v1/lines" }, body: "*" }, rest: { idempotency: Idempotency.NONE } },
  inside: { ...line },
  watch: { ...line, streams: true },
  await: {
    input: ReadThingSchema,
    output: ThingSchema,
    allow: [Allow.PUBLIC],
    rest: { wait: "wait" },
    http: { pattern: { case: "get", value: "/v1/awaited/{sku}" } },
  },
});

const tea = { sku: "tea", quantity: 1 };
const thing = create(ThingSchema, { id: "thg_1" });
const away = () => new TransportFailure("connection reset");
const neverSent = () => new TransportFailure("connection refused", { notExecuted: true });
const callOf = (init: Partial<CallInit> = {}) => new Call({ caller: "test", deadlineMs: performance.now() + 10_000, ...init });

/** A service behind a transport that does what the script says, call by call, and then responds. */
function setup(script: (() => Message | Error)[] = [], { random = 0.5 }: { readonly random?: number } = {}) {
  let nowMs = 1_000;
  const warnings: LogFields[] = [];
  const silent = () => undefined;
  const log: Logger = { debug: silent, info: silent, warn: (fields) => void warnings.push(fields), error: silent, child: () => log };
  const sent: Call[] = [];
  const requests: Message[] = [];
  const pausesMs: number[] = [];
  const respond = (call: Call): Message => {
    sent.push(call);
    const next = script.shift()?.() ?? thing;
    if (next instanceof Error) throw next;
    return next;
  };
  const transport: Transport = {
    unary: async (_, request, call) => {
      requests.push(request);
      return respond(call);
    },
    async *stream(_, __, call) {
      yield respond(call);
      yield respond(call);
    },
    close: () => undefined,
  };
  const remote = createRemoteService({
    service: "shop",
    transport,
    log,
    breaker: { nowMs: () => nowMs },
    random: () => random,
    pause: async (ms) => void pausesMs.push(ms),
  });
  // As a host's clients are typed.
  const client = remote.client(ShopService, "orders") as unknown as Client<typeof ShopService>;
  return { remote, client, sent, requests, pausesMs, warnings, pass: (ms: number) => (nowMs += ms) };
}

const outcome = (call: Promise<Message>) =>
  call.then(
    () => "succeeded",
    (error: unknown) => refusalIn(error)?.reason ?? String(error),
  );
const times = (count: number, what: () => Error) => Array.from({ length: count }, () => what);

describe("a service elsewhere", () => {
  it("RES-02: a read is retried, and a write that has a key which its contract honours; no other write, and no GET with an effect", async () => {
    const cases = [
      ["read", undefined, 2],
      ["write", "key-1", 2],
      ["inside", "key-1", 2],
      ["add", "key-1", 1],
      ["write", undefined, 1],
      ["inside", undefined, 1],
      ["redirect", undefined, 1],
    ] as const;
    for (const [method, idempotencyKey, tries] of cases) {
      const { client, sent } = setup([away]);
      assert.equal(
        await outcome(client[method](tea, callOf({ idempotencyKey }))),
        tries === 2 ? "succeeded" : "DEPENDENCY_UNAVAILABLE",
        method,
      );
      assert.equal(sent.length, tries, method);
      for (const call of sent) assert.deepEqual([call.caller, call.idempotencyKey], ["orders", idempotencyKey]);
    }
  });

  it("RES-02: a call that was not executed is retried, whatever it is", async () => {
    const { client, sent } = setup([neverSent]);
    assert.equal(await outcome(client.write(tea, callOf())), "succeeded");
    assert.equal(sent.length, 2);
  });

  it("RES-02: doubles the backoff each time, with jitter of half of it, and stops after four attempts", async () => {
    for (const [random, expected] of [
      [0, [12.5, 25, 50]],
      [0.5, [25, 50, 100]],
      [1, [37.5, 75, 150]],
    ] as const) {
      const { client, sent, pausesMs, remote } = setup(times(4, away), { random });
      assert.equal(await outcome(client.read(tea, callOf())), "DEPENDENCY_UNAVAILABLE");
      assert.deepEqual([sent.length, pausesMs], [4, expected]);
      assert.deepEqual(remote.figures(), { service: "shop", breaker: "closed", calls: 1, failures: 4, retries: 3 });
    }
  });

  it("RES-02: does not begin a backoff that would end after the deadline", async () => {
    const { client, sent, pausesMs } = setup(times(4, away));
    assert.equal(await outcome(client.read(tea, callOf({ deadlineMs: performance.now() + 20 }))), "DEPENDENCY_UNAVAILABLE");
    assert.deepEqual([sent.length, pausesMs], [1, []]);
  });

  it("RES-02: all attempts share one deadline", async () => {
    const { client, sent } = setup(times(3, away));
    const call = callOf();
    await client.read(tea, call);
    assert.deepEqual(
      sent.map(({ deadlineMs }) => deadlineMs),
      Array.from({ length: 4 }, () => call.deadlineMs),
    );
  });

  it("RES-02: does not retry for a caller that has disconnected", async () => {
    const gone = new AbortController();
    const { client, sent } = setup([() => (gone.abort(), away())]);
    assert.equal(await outcome(client.read(tea, callOf({ signal: gone.signal }))), "DEPENDENCY_UNAVAILABLE");
    assert.equal(sent.length, 1);
  });

  it("RES-02: a refusal of the callee is passed on at once", async () => {
    for (const code of ["failed_precondition", "unavailable", "internal"] as const) {
      const { client, sent, remote } = setup([() => refuse({ reason: "NO", code, details: { free: 2 } })]);
      assert.equal(await outcome(client.read(tea, callOf())), "NO");
      assert.deepEqual([sent.length, remote.figures().failures], [1, 0]);
    }
  });

  it("RES-02: when all calls fail, retries are a tenth of them beside the first twenty", async () => {
    const { client, sent, pass } = setup(times(10_000, away));
    let asked = 0;
    for (; asked < 1_000; asked++) {
      await outcome(client.read(tea, callOf()));
      pass(10_000); // the breaker lets each one through
    }
    assert.ok(sent.length - asked <= 20 + asked / 10, `${sent.length} were sent for ${asked}`);
  });

  it("RES-01: a callee that does not respond is not called, then probed with one call, then called again", async () => {
    const { client, remote, sent, warnings, pass } = setup(times(6, away));
    const state = () => remote.figures().breaker;
    for (let n = 0; n < 5; n++) assert.equal(await outcome(client.write(tea, callOf())), "DEPENDENCY_UNAVAILABLE");
    assert.deepEqual([state(), sent.length, warnings.length], ["open", 5, 1]);
    assert.equal(await outcome(client.write(tea, callOf())), "DEPENDENCY_UNAVAILABLE");
    assert.equal(await outcome(client.read(tea, callOf())), "DEPENDENCY_UNAVAILABLE");
    assert.equal(sent.length, 5, "nobody was asked");
    pass(500);
    assert.equal(await outcome(client.write(tea, callOf())), "DEPENDENCY_UNAVAILABLE");
    assert.deepEqual([state(), sent.length], ["open", 6]);
    pass(1_000);
    const probe = client.write(tea, callOf());
    assert.equal(state(), "half-open");
    assert.equal(await outcome(client.write(tea, callOf())), "DEPENDENCY_UNAVAILABLE", "one at a time");
    assert.equal(await outcome(probe), "succeeded");
    assert.deepEqual([state(), sent.length], ["closed", 7]);
    assert.equal(await outcome(client.write(tea, callOf())), "succeeded");
  });

  it("RES-01: a call that waits for a change is no probe: a read goes before it", async () => {
    const { client, remote, requests, pass } = setup(times(5, away));
    for (let n = 0; n < 5; n++) await outcome(client.write(tea, callOf()));
    pass(500);
    const awaiting = client.await({ sku: "tea", wait: { forMs: 10_000 } }, callOf());
    assert.equal(remote.figures().breaker, "half-open");
    assert.equal(await outcome(awaiting), "succeeded");
    const forMs = requests.slice(5).map((request) => (request as ReadThing).wait?.forMs);
    assert.deepEqual([remote.figures().breaker, forMs], ["closed", [undefined, 10_000]]);
  });

  it("RES-01: calls that wait and break with the process that they wait at keep no others out, and are not retried", async () => {
    const { client, remote, sent } = setup(times(20, away));
    const awaited = { sku: "tea", wait: { forMs: 10_000 } };
    for (let n = 0; n < 20; n++) assert.equal(await outcome(client.await(awaited, callOf())), "DEPENDENCY_UNAVAILABLE");
    assert.deepEqual([sent.length, remote.figures().breaker], [20, "closed"]);
    const unreachable = setup(times(20, neverSent));
    for (let n = 0; n < 2; n++) await outcome(unreachable.client.await(awaited, callOf()));
    assert.equal(unreachable.remote.figures().breaker, "open", "one that cannot be reached counts");
  });

  it("RES-01: opens within a retried call too, which then stops", async () => {
    const { client, remote, sent } = setup(times(20, away));
    await outcome(client.read(tea, callOf()));
    await outcome(client.read(tea, callOf()));
    assert.deepEqual([remote.figures().breaker, sent.length], ["open", 5]);
  });

  it("RES-01: each callee has its own breaker", async () => {
    const [one, other] = [setup(times(5, away)), setup()];
    for (let n = 0; n < 5; n++) await outcome(one.client.write(tea, callOf()));
    assert.deepEqual([one.remote.figures().breaker, other.remote.figures().breaker], ["open", "closed"]);
    assert.equal(await outcome(other.client.write(tea, callOf())), "succeeded");
  });

  it("RES-01: a callee that misses the deadline of a long enough call counts as failing; a refusal, a short call and a caller that left do not", async () => {
    const late = () => refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
    const stateAfter = async (script: () => Error, call: () => Call) => {
      const { client, remote } = setup(times(10, script));
      for (let n = 0; n < 10; n++) await outcome(client.write(tea, call()));
      return remote.figures().breaker;
    };
    assert.equal(await stateAfter(late, callOf), "open");
    assert.equal(await stateAfter(late, () => callOf({ deadlineMs: performance.now() + 400 })), "closed");
    assert.equal(await stateAfter(() => refuse({ reason: "OVERLOADED", code: "unavailable" }), callOf), "closed");
    const { client, remote } = setup();
    for (let n = 0; n < 10; n++) {
      const gone = new AbortController();
      const left = setup([() => (gone.abort(), late())]);
      await outcome(left.client.write(tea, callOf({ signal: gone.signal })));
      assert.equal(left.remote.figures().failures, 0);
      await outcome(client.write(tea, callOf()));
    }
    assert.equal(remote.figures().breaker, "closed");
  });

  it("RES-01: a probe that was too short to count does not close it", async () => {
    const late = () => refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
    const { client, remote, pass } = setup([...times(5, away), late]);
    for (let n = 0; n < 5; n++) await outcome(client.write(tea, callOf()));
    pass(500);
    await outcome(client.write(tea, callOf({ deadlineMs: performance.now() + 300 })));
    assert.equal(remote.figures().breaker, "half-open");
  });

  it("a stream is not retried, counts as a success with its first message, and may wait for messages", async () => {
    const { client, sent, remote } = setup([() => thing, away]);
    const read: unknown[] = [];
    await assert.rejects(
      async () => {
        for await (const message of client.watch(tea, callOf())) read.push(message);
      },
      { reason: "DEPENDENCY_UNAVAILABLE" },
    );
    assert.deepEqual([read.length, sent.length, remote.figures().failures], [1, 2, 1]);
    const quiet = setup(times(10, () => refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" })));
    for (let n = 0; n < 10; n++) await assert.rejects(Array.fromAsync(quiet.client.watch(tea, callOf())), { reason: "DEADLINE_EXCEEDED" });
    assert.equal(quiet.remote.figures().breaker, "closed");
  });

  it("makes no call in a transaction, or after the deadline", async () => {
    const { client, sent } = setup();
    await assert.rejects(
      insideTransaction("orders", () => client.read(tea, callOf())),
      /while a transaction of orders is open/,
    );
    assert.equal(await outcome(client.read(tea, callOf({ deadlineMs: performance.now() - 1 }))), "DEADLINE_EXCEEDED");
    assert.equal(sent.length, 0);
  });
});
