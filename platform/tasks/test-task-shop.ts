import { create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import type { StringValue } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../clock/clock.ts";
import { connectionUrl } from "../database/connection.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import { rootCall } from "../call/call.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { afterTests, openTestDatabase } from "../testing/postgres.ts";
import { listTasks } from "./admin.ts";
import type { ListedTask, TaskState } from "./admin.ts";
import { taskMigrations } from "./embedded.ts";
import type { TasksEngine, TasksInit } from "./tasks-engine.ts";
import type { Queue, Task, TaskResult } from "./tasks.ts";
import { queue } from "./tasks.ts";
import { openTestRabbit } from "./test-rabbit.ts";
import type { TestRabbit } from "./test-rabbit.ts";

const service = "orders";
const settleMs = 15;

interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: LogFields;
  readonly message: string;
}

/** A service's database with one queue and the engines of its processes, on a RabbitMQ and the machine's clock. */
export interface TaskShop {
  readonly database: PostgresDatabase;
  readonly databaseUrl: string;
  readonly rabbit: TestRabbit;
  readonly queue: Queue;
  /** What its engines have logged. */
  readonly lines: LogLine[];
  /** The engine of one more process. Stopped with the shop. */
  engine(change?: Partial<Queue> & { readonly urls?: readonly string[]; readonly options?: TasksInit["options"] }): TasksEngine;
  /** Writes tasks of these keys, due now or then. */
  add(tasks: TasksEngine, keys: readonly string[], dueAt?: Date): Promise<void>;
  list(state: TaskState): Promise<ListedTask[]>;
  /** The tasks whose effects were written, once for each time. */
  effects(): Promise<string[]>;
  /** An effect that a task may end with. */
  effect(task: Task): TaskResult;
}

/** Opens a shop for the test or suite that asked. `run` is what its queue's tasks do. */
export async function openTaskShop(
  urls: readonly string[],
  run: (task: Task<StringValue>, shop: TaskShop) => Promise<TaskResult | void>,
  settings: Omit<Partial<Queue>, "run" | "schema"> = {},
): Promise<TaskShop> {
  const engines: TasksEngine[] = [];
  const rabbit = openTestRabbit(urls, service);
  // Before the database's own hook, because hooks run in the order in which they were made.
  afterTests(async () => {
    await Promise.all(engines.map((engine) => engine.stop()));
    await rabbit.close();
  });
  const database = await openTestDatabase({ name: service, migrations: [taskMigrations] });
  await database.run(sql`create table effects (task text not null)`);
  const lines: LogLine[] = [];
  const log = recorder(lines);
  const ours = queue({ name: "work", schema: StringValueSchema, run: (task) => run(task, shop), ...settings });
  const call = rootCall({ caller: service, timeoutMs: 60_000 });
  const shop: TaskShop = {
    database,
    databaseUrl: connectionUrl(database.connection),
    rabbit,
    queue: ours,
    lines,
    engine({ urls: others, options, ...change } = {}) {
      const made = rabbit.engine({
        service,
        database,
        queues: [{ ...ours, ...change }],
        clock: systemClock,
        log,
        options: { pollMs: 200, stopMs: 1_000, ...options },
        ...(others && { urls: others }),
      });
      engines.push(made);
      return made;
    },
    add: (tasks, keys, dueAt) =>
      database.transaction((tx) =>
        tasks.add(
          tx,
          call,
          keys.map((key) => ({ queue: ours.name, key, payload: create(StringValueSchema, { value: key }), ...(dueAt && { dueAt }) })),
        ),
      ),
    list: (state) => listTasks(database, { state, limit: 100_000 }),
    effects: async () => (await database.rows<{ task: string }>(sql`select task from effects`)).map(({ task }) => task),
    effect: (task) => ({ effect: async (tx) => void (await tx.run(sql`insert into effects (task) values (${task.id})`)) }),
  };
  return shop;
}

/** Looks again until it is so; the test's own time limit ends it. */
export async function eventually(so: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await so())) await new Promise((resolve) => setTimeout(resolve, settleMs));
}

function recorder(lines: LogLine[]): Logger {
  const at = (level: LogLine["level"]) => (fields: LogFields, message: string) => void lines.push({ level, fields, message });
  const log: Logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error"), child: () => log };
  return log;
}
