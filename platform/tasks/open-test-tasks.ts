import { after, before } from "node:test";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { StringValue } from "@bufbuild/protobuf/wkt";
import { ManualClock } from "../clock/clock.ts";
import type { Database, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { listTasks } from "./admin.ts";
import type { ListedTask } from "./admin.ts";
import type { TasksEngine, TasksInit } from "./embedded.ts";
import { queue } from "./tasks.ts";
import type { NewTask, Queue, Task, TaskResult } from "./tasks.ts";

/** What the suite needs of an engine: a migrated database of its own, and engines on it, each as a process has one. */
export interface TasksHarness {
  readonly database: Database;
  engine(init: Pick<TasksInit, "service" | "queues" | "clock" | "log" | "database" | "random" | "options">): TasksEngine;
  close(): Promise<void>;
}

export const start = new Date("2026-03-01T12:00:00.000Z");
export const hourMs = 3_600_000;
export const call = rootCall({ caller: "orders", timeoutMs: 60_000, correlation: "cor_1" });

/** What the tests of the suite share. */
export type TasksSetup = ReturnType<typeof openTestTasks>;

/** Opens the harness before the tests and closes it after them. */
export function openTestTasks(open: () => Promise<TasksHarness>) {
  let harness: TasksHarness;
  let queues = 0;

  before(async () => {
    harness = await open();
    await harness.database.run(sql`create table effects (task text not null, note text not null)`);
  });
  after(() => harness.close());

  type Run = (task: Task<StringValue>, call: Call) => Promise<TaskResult | void>;

  /** A queue of the test's own, and a way to make processes that work on it. */
  const app = (t: TestContext, run: Run, settings: Omit<Partial<Queue>, "run" | "schema"> = {}) => {
    const clock = new ManualClock(start);
    const ours = queue({ name: `queue${++queues}`, schema: StringValueSchema, run, ...settings });
    const lines: { fields: LogFields; message: string }[] = [];
    const engine = (
      change: {
        readonly queue?: Queue;
        readonly database?: Database;
        readonly options?: TasksInit["options"];
        readonly random?: () => number;
      } = {},
    ) => {
      const { queue: served = ours, database = harness.database, options = {}, random = () => 0.5 } = change;
      const made = harness.engine({
        service: "orders",
        queues: [served],
        clock,
        log: recordingLog(lines),
        database,
        random,
        options: { stopMs: 1_000, ...options },
      });
      t.after(() => made.stop());
      return made;
    };
    const add = (tasks: TasksEngine, ...added: readonly (string | (Partial<NewTask> & { readonly key: string }))[]) =>
      harness.database.transaction((tx) =>
        tasks.add(
          tx,
          call,
          added.map((task) => ({ queue: ours.name, payload: value("x"), ...(typeof task === "string" ? { key: task } : task) })),
        ),
      );
    const list = (state: "waiting" | "done" | "dead") => listTasks(harness.database, { state, queue: ours.name, limit: 10_000 });
    return { clock, queue: ours, lines, engine, add, list };
  };

  const effect = (task: Task, note = "done") => ({
    effect: async (tx: Transaction) => {
      await tx.run(sql`insert into effects (task, note) values (${task.id}, ${note})`);
    },
  });
  const effectsOf = async (ids: readonly string[]) =>
    (await harness.database.rows<{ note: string }>(sql`select note from effects where task = any (${ids}::text[])`)).map((row) => row.note);
  const database = () => harness.database;
  return { app, effect, effectsOf, database };
}

export const byKey = (one: ListedTask, other: ListedTask) => (one.key < other.key ? -1 : 1);

export function value(text: string): StringValue {
  return create(StringValueSchema, { value: text });
}

function recordingLog(lines: { fields: LogFields; message: string }[]): Logger {
  const record = (fields: LogFields, message: string) => void lines.push({ fields, message });
  const log: Logger = { debug: record, info: record, warn: record, error: record, child: () => log };
  return log;
}
