import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { refuse } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import type { Logger } from "../telemetry/logger.ts";
import { SagaAttempt } from "./saga-attempt.ts";
import { attemptDefaults as options } from "./saga-retries.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { AnySaga } from "./saga.ts";

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };
const outcomes = {
  unavailable: () => refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" }),
  late: () => refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }),
  fault: () => new TypeError("a fault"),
  busy: () => refuse({ reason: "OVERLOADED", code: "unavailable", retryAfterMs: 700 }),
  refused: () => refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" }),
} as const;

interface Try {
  readonly outcome: keyof typeof outcomes;
  /** How long the service took for it. */
  readonly workMs: number;
}

/** One attempt at a saga of one step whose service responds so, and successfully after that. Time is counted, not waited for. */
async function attempt(tries: readonly Try[], random: () => number) {
  const responses = tries.values();
  const called: { readonly call: Call; readonly atMs: number }[] = [];
  const pausesMs: number[] = [];
  let elapsedMs = 0;
  const definition: AnySaga = {
    name: "trip",
    input: StringValueSchema,
    output: StringValueSchema,
    begin: () => 0,
    reply: () => ({ value: "done" }),
    steps: [
      {
        name: "a",
        do: async (state, call) => {
          called.push({ call, atMs: elapsedMs });
          const response = responses.next().value;
          // No wait is longer than the call may take.
          elapsedMs = Math.min(elapsedMs + (response?.workMs ?? 0), call.deadlineMs);
          if (response !== undefined) throw outcomes[response.outcome]();
          return state;
        },
      },
    ],
  };
  const written = async () => true;
  const unused = () => assert.fail("not for an attempt");
  const store: SagaStore = {
    undo: written,
    end: written,
    pause: written,
    begin: unused,
    conflictsWith: unused,
    join: unused,
    leave: unused,
    find: unused,
    findAll: unused,
    renew: unused,
    take: unused,
    anyAtWork: unused,
  };
  const row: SagaRow = {
    id: "sag_1",
    name: "trip",
    status: "RUNNING",
    fence: 1n,
    attempts: 1,
    joins: null,
    subject: null,
    key: null,
    fingerprint: "",
    input: toBinary(StringValueSchema, create(StringValueSchema)),
    call: { correlation: "cor", trace: { traceId: "", spanId: "" } },
    reply: null,
    refusal: null,
  };
  const pause = async (ms: number) => {
    pausesMs.push(ms);
    elapsedMs += ms;
  };
  const ports = { service: "test", store, log: quiet, options, now: () => new Date(0), monotonicMs: () => elapsedMs, pause, random };
  const end = await new SagaAttempt(definition, row, ports).run();
  return { end, called, pausesMs, elapsedMs };
}

describe("a saga's retries", () => {
  it("RES-02: wait longer each time, doubled from 50 ms to 2 s, a fifth to either side", async () => {
    const unavailable = Array.from({ length: 8 }, () => ({ outcome: "unavailable", workMs: 0 }) as const);
    const jitter = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, 1].values();
    const { end, pausesMs } = await attempt(unavailable, () => jitter.next().value ?? assert.fail("one jitter for each pause"));
    assert.equal(end.status, "done");
    assert.deepEqual(pausesMs.map(Math.round), [50, 100, 200, 400, 800, 1_600, 1_600, 2_400]);
  });

  it("RES-02: wait as long as the service requires", async () => {
    const { pausesMs } = await attempt([{ outcome: "busy", workMs: 0 }], () => 0.5);
    assert.deepEqual(pausesMs, [700]);
  });

  it("RES-02: a decided refusal is not retried", async () => {
    const { end, called, pausesMs } = await attempt([{ outcome: "refused", workMs: 0 }], () => 0.5);
    assert.deepEqual([end.status, called.length, pausesMs], ["refused", 1, []]);
  });

  it("RES-02: whatever the service does, every try has the same key and ends within the attempt's deadline", async () => {
    const tries = fc.array(
      fc.record({ outcome: fc.constantFrom("unavailable", "late", "fault", "busy"), workMs: fc.integer({ min: 0, max: options.stepMs }) }),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(tries, fc.double({ min: 0, max: 1, noNaN: true }), async (given, jitter) => {
        const { end, called, pausesMs, elapsedMs } = await attempt(given, () => jitter);
        assert.deepEqual([...new Set(called.map(({ call }) => call.idempotencyKey))], ["sag_1/a"]);
        for (const { call, atMs } of called) {
          assert.ok(atMs < options.attemptMs, "no try begins past the deadline");
          assert.ok(call.deadlineMs <= options.attemptMs && call.deadlineMs <= atMs + options.stepMs, "none may take longer than is left");
        }
        assert.equal(pausesMs.length, called.length - 1);
        assert.equal(end.status, called.length > given.length ? "done" : "paused");
        assert.ok(elapsedMs <= options.attemptMs);
      }),
      { numRuns: 500 },
    );
  });
});
