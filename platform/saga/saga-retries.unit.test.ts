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
  away: () => refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" }),
  late: () => refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }),
  fault: () => new TypeError("a fault"),
  busy: () => refuse({ reason: "OVERLOADED", code: "unavailable", retryAfterMs: 700 }),
  refused: () => refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" }),
} as const;

interface Try {
  readonly outcome: keyof typeof outcomes;
  /** How long the other side took to say so. */
  readonly workMs: number;
}

/** One attempt at a saga of one step whose other side answers so, and well after that. Time is counted, not waited for. */
async function attempt(tries: readonly Try[], random: () => number) {
  const answers = tries.values();
  const asked: { readonly call: Call; readonly atMs: number }[] = [];
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
          asked.push({ call, atMs: elapsedMs });
          const answer = answers.next().value;
          // Nobody waits for longer than the call may take.
          elapsedMs = Math.min(elapsedMs + (answer?.workMs ?? 0), call.deadlineMs);
          if (answer !== undefined) throw outcomes[answer.outcome]();
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
    find: unused,
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
  return { end, asked, pausesMs, elapsedMs };
}

describe("a saga's retries", () => {
  it("RES-02: wait ever longer, doubled from 50 ms to 2 s, a fifth to either side", async () => {
    const away = Array.from({ length: 8 }, () => ({ outcome: "away", workMs: 0 }) as const);
    const jitter = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0, 1].values();
    const { end, pausesMs } = await attempt(away, () => jitter.next().value ?? assert.fail("one jitter for each pause"));
    assert.equal(end.status, "done");
    assert.deepEqual(pausesMs.map(Math.round), [50, 100, 200, 400, 800, 1_600, 1_600, 2_400]);
  });

  it("RES-02: wait as long as the other side asks for", async () => {
    const { pausesMs } = await attempt([{ outcome: "busy", workMs: 0 }], () => 0.5);
    assert.deepEqual(pausesMs, [700]);
  });

  it("RES-02: a decided refusal is not asked again", async () => {
    const { end, asked, pausesMs } = await attempt([{ outcome: "refused", workMs: 0 }], () => 0.5);
    assert.deepEqual([end.status, asked.length, pausesMs], ["refused", 1, []]);
  });

  it("RES-02: whatever the other side does, every try has the same key and ends within the attempt's deadline", async () => {
    const tries = fc.array(
      fc.record({ outcome: fc.constantFrom("away", "late", "fault", "busy"), workMs: fc.integer({ min: 0, max: options.stepMs }) }),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(tries, fc.double({ min: 0, max: 1, noNaN: true }), async (given, jitter) => {
        const { end, asked, pausesMs, elapsedMs } = await attempt(given, () => jitter);
        assert.deepEqual([...new Set(asked.map(({ call }) => call.idempotencyKey))], ["sag_1/a"]);
        for (const { call, atMs } of asked) {
          assert.ok(atMs < options.attemptMs, "no try begins past the deadline");
          assert.ok(call.deadlineMs <= options.attemptMs && call.deadlineMs <= atMs + options.stepMs, "none may take longer than is left");
        }
        assert.equal(pausesMs.length, asked.length - 1);
        assert.equal(end.status, asked.length > given.length ? "done" : "paused");
        assert.ok(elapsedMs <= options.attemptMs);
      }),
      { numRuns: 500 },
    );
  });
});
