import assert from "node:assert/strict";
import { after, before } from "node:test";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { Refusal } from "../errors/refusal.ts";
import type { RefusalInit } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import type { SagaDefinition, SagaStep } from "./saga.ts";
import type { SagasEngine, SagasInit } from "./embedded.ts";

/** What the suite needs: a migrated database of its own, and engines on it, each as a process has one. */
export interface SagasHarness {
  readonly database: Database;
  engine(init: Pick<SagasInit, "service" | "definitions" | "clock" | "log" | "database" | "options">): SagasEngine;
  close(): Promise<void>;
}

type Text = typeof StringValueSchema;
type Trip = SagaDefinition<Text, Text, readonly string[]>;

export const user = { id: "usr_1", session: "ses_1", roles: [], verified: true };
export const soldOut: RefusalInit = {
  reason: "OUT_OF_STOCK",
  code: "failed_precondition",
  message: "Fewer are left",
  details: { free: 2 },
  fields: [{ field: "lines[0].quantity", reason: "TOO_MANY", message: "at most 2" }],
};

/** What the tests of the suite share. */
export type SagasSetup = ReturnType<typeof openTestSagas>;

/** Opens the harness before the tests and closes it after them. */
export function openTestSagas(open: () => Promise<SagasHarness>) {
  let harness: SagasHarness;
  let sagas = 0;

  before(async () => {
    harness = await open();
  });
  after(() => harness.close());

  /** A saga of the test's own over `steps`, with the processes that run it. `called` are the steps that were called. */
  const app = (t: TestContext, steps: (record: (what: string, call: Call) => void) => readonly SagaStep<readonly string[]>[]) => {
    const called: { what: string; call: Call }[] = [];
    const clock = new ManualClock(new Date("2026-03-01T12:00:00.000Z"));
    const alarm = Promise.withResolvers<LogFields>();
    const trip: Trip = {
      name: `trip${++sagas}`,
      input: StringValueSchema,
      output: StringValueSchema,
      begin: (input) => [input.value],
      steps: steps((what, call) => void called.push({ what, call })),
      reply: (state) => ({ value: state.join(" ") }),
    };
    const engine = (options: SagasInit["options"] = {}, database: Database = harness.database) => {
      const quick = { retryMs: 2, retryMsMax: 20, pauseMs: 10, pauseMsMax: 20, recoverEveryMs: 20, stopMs: 200, ...options };
      const made = harness.engine({
        service: "checkout",
        definitions: [trip],
        clock,
        log: alarmLog(alarm.resolve),
        database,
        options: quick,
      });
      t.after(() => made.stop());
      return made;
    };
    let runs = 0;
    const request = (change: { id?: string; key?: string; subject?: string; fingerprint?: string; timeoutMs?: number } = {}) => ({
      id: `${trip.name}_${++runs}`,
      fingerprint: "f",
      input: { value: "start" },
      call: rootCall({ caller: "gateway", user, timeoutMs: change.timeoutMs ?? 5_000, correlation: "cor_1" }),
      ...change,
    });
    const row = (id: string) =>
      harness.database.one<{ status: string; fence: bigint; owner: string | null; attempts: number; released_at: Date | null }>(
        sql`select status, fence, owner, attempts, released_at from sagas where id = ${id}`,
      );
    return {
      trip,
      engine,
      request,
      row,
      clock,
      alarm: alarm.promise,
      called: () => called.map(({ what }) => what),
      calls: () => called.map(({ call }) => call),
    };
  };

  /** A step that records its calls; `result` may throw. */
  const step = (record: (what: string, call: Call) => void, stepName: string, result: (call: Call) => unknown = () => undefined) => ({
    name: stepName,
    do: async (state: readonly string[], call: Call) => {
      record(stepName, call);
      await result(call);
      return [...state, stepName];
    },
    undo: async (_: readonly string[], call: Call) => record(`undo ${stepName}`, call),
  });
  const done = (id: string, value: string) => ({ status: "done", id, reply: create(StringValueSchema, { value }) });
  const database = () => harness.database;
  return { app, step, done, database };
}

/** What a stored refusal must keep. */
export function factsOf(refusal: Refusal | false): unknown {
  assert.ok(refusal instanceof Refusal);
  const { reason, code, message, details, fields } = refusal;
  return { reason, code, message, details, fields };
}

function alarmLog(alarm: (fields: LogFields) => void): Logger {
  const look = (fields: LogFields) => void (fields["alert"] !== undefined && alarm(fields));
  const log: Logger = { debug: look, info: look, warn: look, error: look, child: () => log };
  return log;
}
