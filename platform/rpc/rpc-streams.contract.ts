import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { it } from "node:test";
import { ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Thing } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Call } from "../call/call.ts";
import { Refusal, refuse } from "../errors/refusal.ts";
import { aborted, ann, callOf, openGreeter, refusalOf, tea, turns } from "./test-greeter.ts";
import type { OpenRpc } from "./test-greeter.ts";

/** Methods whose response is a stream: order, ends, back pressure, refusals. */
export function rpcStreams(open: OpenRpc): void {
  it("API-04: a stream delivers all in order, and is not started before it is read", async () => {
    let started = 0;
    await using greeter = await openGreeter(open, {
      async *watch({ sku }) {
        started++;
        for (let version = 1; version <= 200; version++) yield { id: sku, version };
      },
    });
    const stream = greeter.of("gateway").watch(tea, callOf());
    await greeter.of("gateway").greet(tea, callOf());
    assert.equal(started, 0);
    const messages = await Array.fromAsync(stream);
    assert.deepEqual(
      messages.map(({ id, version }) => `${id} ${version}`),
      Array.from({ length: 200 }, (_, n) => `tea ${n + 1}`),
    );
    assert.equal(messages[0]?.$typeName, ThingSchema.typeName);
  });

  it("API-04: a stream carries the user and the cause, and may end without a message", async () => {
    const calls: Call[] = [];
    await using greeter = await openGreeter(open, {
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

  it("API-04: a stream is validated and guarded as a single response is", async () => {
    let seen = 0;
    const watch = async function* () {
      seen++;
      yield {};
    };
    await using greeter = await openGreeter(open, { watch, watchInside: watch });
    const { refusal } = await readAll(greeter.of("gateway").watch({ sku: "", quantity: 0 }, callOf()));
    assert.deepEqual([refusal?.reason, refusal?.fields.map(({ field }) => field).sort()], ["INVALID_REQUEST", ["quantity", "sku"]]);
    assert.equal((await readAll(greeter.of("gateway").watchInside(tea, callOf()))).refusal?.reason, "PERMISSION_DENIED");
    const late = await readAll(greeter.of("gateway").watch(tea, callOf({ deadlineMs: performance.now() - 1 })));
    assert.equal(late.refusal?.reason, "DEADLINE_EXCEEDED");
    assert.equal(seen, 0);
    assert.equal((await readAll(greeter.of("orders").watchInside(tea, callOf()))).messages.length, 1);
  });

  it("API-04: a stream is refused before its first message, and in the middle behind those that came", async () => {
    await using greeter = await openGreeter(open, {
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
    await using greeter = await openGreeter(open, {
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
    await using greeter = await openGreeter(open, {
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

  it("API-04: a stream ends at its deadline, however its handler reacts", async () => {
    const ended = Promise.withResolvers<void>();
    await using greeter = await openGreeter(open, {
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
    const until = [greeter.of("orders").watch, greeter.of("orders").watchInside].map(async (method) => {
      for (;;) {
        const outcome = await readAll(method(tea, callOf({ deadlineMs: performance.now() + 100 })));
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
    await using greeter = await openGreeter(open, {
      async *watch() {
        while (made < count) yield { version: ++made, displayName };
      },
    });
    let read = 0;
    for await (const { version, displayName: name } of greeter.of("orders").watch(tea, callOf())) {
      assert.deepEqual([version, name.length], [++read, displayName.length]);
      // A handler that runs ahead has had the time for it when these calls have returned.
      if (read === 2) {
        for (let n = 0; n < 20; n++) await greeter.of("orders").greet(tea, callOf());
        // What a network's own buffers hold is some megabytes.
        assert.ok(made < count / 2, `${made} of ${count} were made`);
      }
    }
    assert.equal(read, count);
  });

  it("API-04 RES-08: stopping ends streams, and their readers are refused as unavailable, so that they may call another process", async () => {
    await using greeter = await openGreeter(open, {
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
