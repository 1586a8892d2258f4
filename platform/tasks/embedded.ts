import { toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Ids } from "../ids/ids.ts";
import type { Call } from "../rpc/call.ts";
import type { Logger } from "../telemetry/logger.ts";
import { insertTasks, moveTask } from "./task-store.ts";
import type { CausedTask } from "./task-store.ts";
import { TaskWakeups } from "./task-wakeups.ts";
import { TaskWorker, taskWorkerDefaults } from "./task-worker.ts";
import type { TaskWorkerOptions } from "./task-worker.ts";
import type { NewTask, Queue, Tasks } from "./tasks.ts";

/** What a database with tasks needs. */
export const taskMigrations: MigrationSet = { scope: "tasks", folder: new URL("./migrations/", import.meta.url) };

/** What an engine needs. */
export interface TasksInit {
  readonly service: string;
  readonly database: Database;
  /** The queues, or what gives them: asked once, at the first task or the start, as a service has its tasks before its queues. */
  readonly queues: readonly Queue[] | (() => readonly Queue[]);
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly options?: Partial<TaskWorkerOptions>;
}

/** A service's tasks with the worker of this process. */
export interface TasksEngine extends Tasks {
  /** Begins to claim and run. */
  start(): Promise<void>;
  /** Claims no more and waits for what runs. */
  stop(): Promise<void>;
  /** Resolves when nothing runs and nothing is due at the clock's now. */
  idle(): Promise<void>;
}

/** Tasks that this process claims from the service's own PostgreSQL: nothing else is needed. */
export function createTasks(init: TasksInit): TasksEngine {
  const { service, database, clock, ids, random = Math.random } = init;
  const log = init.log.child({ service });
  const options = { ...taskWorkerDefaults, ...init.options };
  const worker = new TaskWorker({ service, database, clock, log, random, options });
  const wakeups = new TaskWakeups({ database, log, self: ids.next("wrk") });
  let queues: ReadonlyMap<string, Queue> | undefined;

  const queuesByName = () => {
    if (queues !== undefined) return queues;
    const all = typeof init.queues === "function" ? init.queues() : init.queues;
    const byName = new Map(all.map((queue) => [queue.name, queue]));
    if (byName.size < all.length) throw new Error(`two queues of ${service} have the same name`);
    return (queues = byName);
  };
  const rowOf =
    (call: Call, now: Date) =>
    (task: NewTask): CausedTask => {
      const queue = queuesByName().get(task.queue);
      if (queue === undefined) throw new Error(`${service} has no queue ${task.queue}`);
      const type = queue.schema.typeName;
      if (task.payload.$typeName !== type) throw new Error(`the queue ${task.queue} takes ${type}, not ${task.payload.$typeName}`);
      const payload = toBinary(queue.schema, task.payload);
      return { id: ids.next("tsk"), queue: task.queue, key: task.key, type, payload, dueAt: task.dueAt ?? now, call: task.call ?? call };
    };
  const wake = (dueAt?: Date) => {
    if (dueAt !== undefined && dueAt > clock.now()) return worker.expect(dueAt);
    worker.wake();
    wakeups.send();
  };
  const addSql: Tasks["addSql"] = (call, tasks) => {
    const now = clock.now();
    return insertTasks(tasks.map(rowOf(call, now)), now);
  };

  return {
    addSql,
    wake,
    async add(tx, call, tasks) {
      if (tasks.length === 0) return;
      await tx.run(addSql(call, tasks));
      const first = earliestOf(tasks);
      tx.afterCommit(() => wake(first));
    },
    async reschedule(tx, queue, key, dueAt) {
      if ((await moveTask(tx, { queue, key, dueAt })) > 0) tx.afterCommit(() => wake(dueAt));
    },
    async start() {
      const served = [...queuesByName().values()];
      if (served.length > 0) await wakeups.start(() => worker.wake());
      outsideTransaction(() => worker.start(served));
    },
    async stop() {
      await wakeups.stop();
      await worker.stop();
    },
    idle: () => worker.idle(),
  };
}

/** When the first of the tasks is due; undefined for at once. */
function earliestOf(tasks: readonly NewTask[]): Date | undefined {
  if (tasks.some(({ dueAt }) => dueAt === undefined)) return undefined;
  return new Date(Math.min(...tasks.map(({ dueAt }) => dueAt!.getTime())));
}
