import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Thing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { insideTransaction } from "../database/in-transaction.ts";
import { Refusal, refuse } from "../errors/refusal.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import type { ConcurrencyLimits } from "./concurrency-limiter.ts";
import { Call } from "../call/call.ts";
import type { CallInit, User } from "../call/call.ts";
import { describeService } from "./describe-service.ts";
import { implement } from "./rpc.ts";
import type { Clients, Implementation, Route } from "./rpc.ts";

const line = { input: LineSchema, output: ThingSchema, rest: { idempotency: Idempotency.NONE } } as const;

/** The contract that the suite serves: one method for each kind of access. */
export const GreeterService = describeService("kontor.testing.v1.GreeterService", {
  greet: { ...line, allow: [Allow.PUBLIC] },
  buy: { ...line, allow: [Allow.PUBLIC], rest: { idempotency: Idempotency.NATURAL_KEY_REQUIRED } },
  whoAmI: { ...line, allow: [Allow.AUTHENTICATED] },
  manage: { ...line, allow: [Allow.ADMIN, Allow.SUPPORT] },
  inside: { ...line, allow: [Allow.INTERNAL] },
  /** Named callers are checked where a call comes over a wire. */
  ledger: { ...line, allow: [Allow.INTERNAL], callers: ["orders"] },
  nobody: { ...line },
  watch: { ...line, allow: [Allow.PUBLIC], streams: true },
  watchInside: { ...line, allow: [Allow.INTERNAL], streams: true },
});

export type GreeterHandlers = Implementation<typeof GreeterService>;

const nothing = async () => ({});
async function* nothingAtAll() {}

/** Replies with empty messages. */
export const greeterHandlers: GreeterHandlers = {
  greet: nothing,
  buy: nothing,
  whoAmI: nothing,
  manage: nothing,
  inside: nothing,
  ledger: nothing,
  nobody: nothing,
  watch: nothingAtAll,
  watchInside: nothingAtAll,
};

export interface RpcUnderTest {
  clientsFor(caller: string): Clients;
  stop(): Promise<void>;
}

/** Serves the services and gives clients for them, however the engine does it. */
export type OpenRpc = (options: {
  readonly services: Readonly<Record<string, readonly Route[]>>;
  readonly log: Logger;
  readonly limits?: Partial<ConcurrencyLimits>;
}) => Promise<RpcUnderTest>;

/** What every rpc engine does alike. */
export function rpcContract(engine: string, open: OpenRpc): void {
  describe(`rpc: ${engine}`, { concurrency: true }, () => {
    it("carries the request and the answer", async () => {
      await using greeter = await setup(open, {
        greet: async ({ sku, quantity }) => ({
          id: sku,
          version: quantity,
          lines: [{ sku, quantity, unitPrice: { currency: "EUR", amount: "1.00" } }],
        }),
      });
      const answer = await greeter.of("gateway").greet({ sku: "tea", quantity: 3 }, callOf());
      assert.equal(answer.$typeName, ThingSchema.typeName);
      assert.deepEqual([answer.id, answer.version, answer.lines[0]?.unitPrice?.amount], ["tea", 3, "1.00"]);
      const again = await greeter.of("gateway").greet(create(LineSchema, { sku: "tea", quantity: 4 }), callOf());
      assert.equal(again.version, 4);
    });

    it("refuses a request that breaks the contract's rules before the handler sees it", async () => {
      let seen = 0;
      await using greeter = await setup(open, { greet: async () => (seen++, {}) });
      const refusal = await refusalOf(greeter.of("orders").greet({ sku: "", quantity: 0 }, callOf()));
      assert.equal(refusal.reason, "INVALID_REQUEST");
      assert.equal(refusal.code, "invalid_argument");
      assert.deepEqual(refusal.fields.map(({ field }) => field).sort(), ["quantity", "sku"]);
      assert.equal(seen, 0);
    });

    it("carries the user, the cause, and the key that the caller has set", async () => {
      const calls: Call[] = [];
      await using greeter = await setup(open, { greet: async (_, call) => (calls.push(call), {}) });
      const call = callOf({
        caller: "nobody-in-particular",
        user: ann,
        idempotencyKey: "key-1",
        trace: { traceId: "a".repeat(32), spanId: "b".repeat(16) },
        correlation: "cause-1",
        causation: "evt_1",
      });
      await greeter.of("checkout").greet(tea, call);
      await greeter.of("checkout").greet(tea, call.with({ user: undefined }));
      assert.equal(calls[0]?.caller, "checkout", "the host fixes the caller");
      assert.deepEqual(calls[0]?.user, ann);
      assert.deepEqual([calls[0]?.trace.traceId, calls[0]?.correlation, calls[0]?.causation], ["a".repeat(32), "cause-1", "evt_1"]);
      assert.equal(calls[0]?.idempotencyKey, "key-1");
      assert.equal(calls[1]?.idempotencyKey, undefined);
      assert.equal(calls[1]?.user, undefined);
    });

    it("lets nobody call a method without an access option", async () => {
      await using greeter = await setup(open);
      for (const caller of ["gateway", "orders"])
        assert.equal((await refusalOf(greeter.of(caller).nobody(tea, callOf({ user: admin })))).reason, "PERMISSION_DENIED");
    });

    it("keeps internal methods from the edge, whoever is signed in", async () => {
      await using greeter = await setup(open);
      assert.equal(
        (await refusalOf(greeter.of("gateway").inside(tea, callOf({ user: admin, caller: "orders" })))).reason,
        "PERMISSION_DENIED",
      );
      await greeter.of("orders").inside(tea, callOf());
    });

    it("requires a user, or one of the roles, from services too", async () => {
      await using greeter = await setup(open);
      for (const caller of ["gateway", "orders"]) {
        const client = greeter.of(caller);
        assert.equal((await refusalOf(client.whoAmI(tea, callOf()))).reason, "UNAUTHENTICATED");
        await client.whoAmI(tea, callOf({ user: ann }));
        assert.equal((await refusalOf(client.manage(tea, callOf()))).reason, "UNAUTHENTICATED");
        assert.equal((await refusalOf(client.manage(tea, callOf({ user: ann })))).reason, "PERMISSION_DENIED");
        await client.manage(tea, callOf({ user: admin }));
        await client.greet(tea, callOf());
      }
    });

    it("passes a refusal on as it is, also through services in between", async () => {
      await using greeter = await setup(open, {
        inside: async () => {
          throw new Error("could not hold", {
            cause: refuse({
              reason: "OUT_OF_STOCK",
              code: "failed_precondition",
              message: "Only 2 are left",
              details: { free: 2 },
              fields: [{ field: "quantity", reason: "TOO_MANY", message: "at most 2" }],
              retryAfterMs: 3000,
            }),
          });
        },
        greet: async (request, call) => greeter.of("orders").inside(request, call),
      });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf()));
      assert.deepEqual(
        [refusal.reason, refusal.code, refusal.message, refusal.details, refusal.retryAfterMs],
        ["OUT_OF_STOCK", "failed_precondition", "Only 2 are left", { free: 2 }, 3000],
      );
      assert.deepEqual(refusal.fields, [{ field: "quantity", reason: "TOO_MANY", message: "at most 2" }]);
      assert.deepEqual(greeter.faults, []);
    });

    it("tells nothing of a fault, and logs it once with its causes", async () => {
      await using greeter = await setup(open, {
        inside: async () => {
          throw new Error("select failed", { cause: new Error("password of kontor is hunter2") });
        },
        greet: async (request, call) => greeter.of("orders").inside(request, call),
      });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ correlation: "cause-2" })));
      assert.deepEqual(
        [refusal.reason, refusal.code, refusal.message, refusal.details],
        ["INTERNAL_ERROR", "internal", "INTERNAL_ERROR", {}],
      );
      assert.equal(refusal.cause, undefined);
      assert.equal(greeter.faults.length, 1);
      const [fault] = greeter.faults;
      assert.ok(fault?.error instanceof Error && fault.error.cause instanceof Error);
      assert.equal(fault.call?.correlation, "cause-2");
    });

    it("refuses a call whose deadline has passed, without asking the handler", async () => {
      let seen = 0;
      await using greeter = await setup(open, { greet: async () => (seen++, {}) });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ deadlineMs: performance.now() - 1 })));
      assert.equal(refusal.reason, "DEADLINE_EXCEEDED");
      assert.equal(seen, 0);
    });

    it("the caller gets its answer at the deadline while the handler goes on", async () => {
      let begun = false;
      const finish = Promise.withResolvers<void>();
      const finished = Promise.withResolvers<string>();
      await using greeter = await setup(open, {
        greet: async () => {
          begun = true;
          await finish.promise;
          finished.resolve("finished");
          return {};
        },
      });
      // On a busy machine a call may not have reached its handler by then.
      while (!begun) {
        const startedMs = performance.now();
        const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ deadlineMs: startedMs + 60 })));
        const tookMs = performance.now() - startedMs;
        assert.deepEqual([refusal.reason, refusal.code], ["DEADLINE_EXCEEDED", "deadline_exceeded"]);
        // Wires count in whole milliseconds, at each end.
        assert.ok(tookMs >= 50 && tookMs < 5000, `${tookMs} ms`);
      }
      finish.resolve();
      assert.equal(await finished.promise, "finished");
    });

    it("refuses as unavailable what is served nowhere", async () => {
      await using greeter = await setup(open);
      const client = greeter.rpc.clientsFor("orders").of("tailor", GreeterService);
      const refusal = await refusalOf(client.greet(tea, callOf()));
      assert.deepEqual([refusal.reason, refusal.code], ["DEPENDENCY_UNAVAILABLE", "unavailable"]);
    });

    it("GW-11: 200 calls at once for different users each keep their own", async () => {
      await using greeter = await setup(open, {
        inside: async (_, call) => {
          await turns(3);
          return { id: call.signedIn().id, displayName: call.correlation };
        },
        whoAmI: async (request, call) => {
          await turns(request.quantity % 7);
          const inner = await greeter.of("orders").inside(request, call);
          assert.equal(call.signedIn().id, inner.id);
          return inner;
        },
      });
      const client = greeter.of("gateway");
      const answers = await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          client.whoAmI({ sku: "tea", quantity: n + 1 }, callOf({ user: { ...ann, id: `usr_${n}` }, correlation: `cause-${n}` })),
        ),
      );
      answers.forEach((answer, n) => assert.deepEqual([answer.id, answer.displayName], [`usr_${n}`, `cause-${n}`]));
    });

    it("limits calls from the edge, and lets calls of services pass", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await setup(
        open,
        {
          greet: async (request, call) => {
            started.resolve();
            await gate.promise;
            return greeter.of("orders").inside(request, call);
          },
        },
        { inFlight: 1, waiting: 1 },
      );
      const client = greeter.of("gateway");
      const first = client.greet(tea, callOf());
      await started.promise;
      const later = [client.greet(tea, callOf()), client.greet(tea, callOf())].map((call) => call.then(() => "served", reasonOf));
      assert.equal(await Promise.race(later), "OVERLOADED");
      await greeter.of("orders").inside(tea, callOf());
      gate.resolve();
      await first;
      assert.deepEqual((await Promise.all(later)).sort(), ["OVERLOADED", "served"]);
    });

    it("gives an urgent call the place of one that waits", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await setup(
        open,
        { greet: async () => (started.resolve(), await gate.promise, {}) },
        { inFlight: 1, waiting: 1 },
      );
      const client = greeter.of("gateway");
      const first = client.greet(tea, callOf());
      await started.promise;
      const browsing = client.greet(tea, callOf()).then(() => "served", reasonOf);
      const buying = Promise.all([browsing, client.buy(tea, callOf()).then(() => "served", reasonOf)]);
      assert.equal(await browsing, "OVERLOADED");
      gate.resolve();
      await first;
      assert.deepEqual(await buying, ["OVERLOADED", "served"]);
    });

    it("RES-08: stopping waits for calls under way, with those that they make, and takes no more", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await setup(open, {
        greet: async (request, call) => {
          started.resolve();
          await gate.promise;
          return greeter.of("orders").inside(request, call);
        },
        inside: async () => ({ id: "inside" }),
      });
      const under = greeter.of("gateway").greet(tea, callOf());
      await started.promise;
      let stopped = false;
      const stopping = greeter.rpc.stop().then(() => (stopped = true));
      assert.equal((await refusalOf(greeter.of("gateway").greet(tea, callOf()))).code, "unavailable");
      assert.equal(stopped, false);
      gate.resolve();
      assert.equal((await under).id, "inside");
      await stopping;
      assert.equal((await refusalOf(greeter.of("orders").inside(tea, callOf()))).code, "unavailable");
      await greeter.rpc.stop();
    });

    it("API-04: a stream delivers all in order, and is not started before it is read", async () => {
      let started = 0;
      await using greeter = await setup(open, {
        async *watch({ sku }) {
          started++;
          for (let version = 1; version <= 200; version++) yield { id: sku, version };
        },
      });
      const stream = greeter.of("gateway").watch(tea, callOf());
      await greeter.of("gateway").greet(tea, callOf());
      assert.equal(started, 0);
      const answers = await Array.fromAsync(stream);
      assert.deepEqual(
        answers.map(({ id, version }) => `${id} ${version}`),
        Array.from({ length: 200 }, (_, n) => `tea ${n + 1}`),
      );
      assert.equal(answers[0]?.$typeName, ThingSchema.typeName);
    });

    it("API-04: a stream carries the user and the cause, and may end without a message", async () => {
      const calls: Call[] = [];
      await using greeter = await setup(open, {
        async *watch(_, call) {
          calls.push(call);
          yield* [];
        },
      });
      const call = callOf({ user: ann, correlation: "cause-3", idempotencyKey: "key-3" });
      assert.deepEqual(await Array.fromAsync(greeter.of("orders").watch(tea, call)), []);
      assert.deepEqual(
        calls.map(({ caller, user, correlation, idempotencyKey }) => [caller, user, correlation, idempotencyKey]),
        [["orders", ann, "cause-3", "key-3"]],
      );
    });

    it("API-04: a stream is validated and guarded as a single answer is", async () => {
      let seen = 0;
      const watch = async function* () {
        seen++;
        yield {};
      };
      await using greeter = await setup(open, { watch, watchInside: watch });
      const { refusal } = await readAll(greeter.of("gateway").watch({ sku: "", quantity: 0 }, callOf()));
      assert.deepEqual([refusal?.reason, refusal?.fields.map(({ field }) => field).sort()], ["INVALID_REQUEST", ["quantity", "sku"]]);
      assert.equal((await readAll(greeter.of("gateway").watchInside(tea, callOf()))).refusal?.reason, "PERMISSION_DENIED");
      const late = await readAll(greeter.of("gateway").watch(tea, callOf({ deadlineMs: performance.now() - 1 })));
      assert.equal(late.refusal?.reason, "DEADLINE_EXCEEDED");
      assert.equal(seen, 0);
      assert.equal((await readAll(greeter.of("orders").watchInside(tea, callOf()))).messages.length, 1);
    });

    it("API-04: a stream is refused before its first message, and in the middle behind those that came", async () => {
      await using greeter = await setup(open, {
        async *watch({ quantity }) {
          for (let version = 1; version < quantity; version++) yield { version };
          throw refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition", message: "All gone", details: { free: 0 } });
        },
        async *watchInside() {
          yield { version: 1 };
          throw new Error("select failed", { cause: new Error("password of kontor is hunter2") });
        },
      });
      for (const quantity of [1, 4]) {
        const { messages, refusal } = await readAll(greeter.of("orders").watch({ sku: "tea", quantity }, callOf()));
        assert.equal(messages.length, quantity - 1);
        assert.deepEqual(
          [refusal?.reason, refusal?.code, refusal?.message, refusal?.details],
          ["OUT_OF_STOCK", "failed_precondition", "All gone", { free: 0 }],
        );
      }
      assert.deepEqual(greeter.faults, []);
      const { messages, refusal } = await readAll(greeter.of("orders").watchInside(tea, callOf()));
      assert.deepEqual([messages.length, refusal?.reason, refusal?.message], [1, "INTERNAL_ERROR", "INTERNAL_ERROR"]);
      assert.equal(greeter.faults.length, 1);
    });

    it("API-04: a stream ends with its reader: the handler's signal aborts", async () => {
      const ended = Promise.withResolvers<void>();
      const left = Promise.withResolvers<void>();
      await using greeter = await setup(open, {
        async *watch(_, call) {
          call.signal.addEventListener("abort", () => ended.resolve());
          try {
            for (let version = 1; ; version++) {
              yield { version };
              await turns(1);
              if (call.signal.aborted) return;
            }
          } finally {
            left.resolve();
          }
        },
      });
      for await (const { version } of greeter.of("gateway").watch(tea, callOf())) if (version === 3) break;
      await ended.promise;
      await left.promise;
      assert.deepEqual(greeter.faults, []);
    });

    it("API-04: a stream that waits for messages ends when its caller disconnects", async () => {
      const disconnected = new AbortController();
      const ended = Promise.withResolvers<void>();
      await using greeter = await setup(open, {
        async *watch(_, call) {
          yield { version: 1 };
          await aborted(call.signal);
          ended.resolve();
        },
      });
      // The deadline is too far away to end it.
      const call = callOf({ signal: disconnected.signal, deadlineMs: performance.now() + 300_000 });
      const reading = (async () => {
        for await (const _ of greeter.of("gateway").watch(tea, call)) disconnected.abort();
      })();
      assert.equal((await refusalOf(reading)).reason, "DEADLINE_EXCEEDED");
      await ended.promise;
    });

    it("API-04: a stream ends at its deadline, whatever way its handler takes that", async () => {
      const ended = Promise.withResolvers<void>();
      await using greeter = await setup(open, {
        async *watch(_, call) {
          yield { version: 1 };
          await aborted(call.signal);
          ended.resolve();
        },
        async *watchInside(_, call) {
          yield { version: 1 };
          await aborted(call.signal);
          throw call.signal.reason;
        },
      });
      const until = [greeter.of("orders").watch, greeter.of("orders").watchInside].map(async (ask) => {
        for (;;) {
          const outcome = await readAll(ask(tea, callOf({ deadlineMs: performance.now() + 100 })));
          assert.equal(outcome.refusal?.reason, "DEADLINE_EXCEEDED");
          // On a busy machine its first message may not have come by then.
          if (outcome.messages.length === 1) return;
        }
      });
      await Promise.all(until);
      await ended.promise;
      assert.deepEqual(greeter.faults, []);
    });

    it("API-04: a handler does not run far ahead of a slow reader, and the reader loses nothing", async () => {
      const count = 400;
      const displayName = "n".repeat(64 * 1024);
      let made = 0;
      await using greeter = await setup(open, {
        async *watch() {
          while (made < count) yield { version: ++made, displayName };
        },
      });
      let read = 0;
      for await (const { version, displayName: name } of greeter.of("orders").watch(tea, callOf())) {
        assert.deepEqual([version, name.length], [++read, displayName.length]);
        // Whatever would run ahead has had the time for it when these have come back.
        if (read === 2) {
          for (let n = 0; n < 20; n++) await greeter.of("orders").greet(tea, callOf());
          // What a network's own buffers hold is some megabytes.
          assert.ok(made < count / 2, `${made} of ${count} were made`);
        }
      }
      assert.equal(read, count);
    });

    it("API-04 RES-08: stopping ends streams, and tells their readers that they may call another process", async () => {
      await using greeter = await setup(open, {
        async *watch(_, call) {
          yield { version: 1 };
          await aborted(call.signal);
        },
      });
      const read = Promise.withResolvers<void>();
      const reading = (async () => {
        for await (const _ of greeter.of("gateway").watch(tea, callOf())) read.resolve();
      })();
      const refused = refusalOf(reading);
      await read.promise;
      await greeter.rpc.stop();
      assert.deepEqual([(await refused).reason, (await refused).code], ["DEPENDENCY_UNAVAILABLE", "unavailable"]);
      assert.deepEqual(greeter.faults, []);
    });

    it("does not call while a transaction is open", async () => {
      await using greeter = await setup(open);
      await assert.rejects(
        insideTransaction("orders", () => greeter.of("orders").inside(tea, callOf())),
        /while a transaction of orders is open/,
      );
    });
  });
}

const tea = { sku: "tea", quantity: 1 } as const;
const ann: User = { id: "usr_ann", session: "ses_1", roles: [], verified: true };
const admin: User = { id: "usr_admin", session: "ses_2", roles: ["admin"], verified: true };

const callOf = (init: Partial<CallInit> = {}) => new Call({ caller: "test", deadlineMs: performance.now() + 20_000, ...init });

async function setup(open: OpenRpc, handlers: Partial<GreeterHandlers> = {}, limits?: Partial<ConcurrencyLimits>) {
  const faults: LogFields[] = [];
  const silent = () => undefined;
  const log: Logger = { debug: silent, info: silent, warn: silent, error: (fields) => void faults.push(fields), child: () => log };
  const rpc = await open({
    services: { greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })] },
    log,
    ...(limits && { limits }),
  });
  return {
    rpc,
    faults,
    of: (caller: string) => rpc.clientsFor(caller).of("greeter", GreeterService),
    [Symbol.asyncDispose]: () => rpc.stop(),
  };
}

async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error;
  }
  return assert.fail("it was not refused");
}

async function readAll(
  stream: AsyncIterable<Thing>,
): Promise<{ readonly messages: readonly Thing[]; readonly refusal: Refusal | undefined }> {
  const messages: Thing[] = [];
  try {
    for await (const message of stream) messages.push(message);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return { messages, refusal: error };
  }
  return { messages, refusal: undefined };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

const reasonOf = (error: Refusal) => error.reason;

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
