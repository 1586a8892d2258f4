import { toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Ids } from "../ids/ids.ts";
import type { Logger } from "../telemetry/logger.ts";
import { countTasks } from "./admin.ts";
import type { QueueCounts } from "./admin.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Tally } from "./task-runner.ts";
import { TaskRuns } from "./task-runs.ts";
import { insertTasks, moveTask } from "./task-store.ts";
import { TaskWakeups } from "./task-wakeups.ts";
import { TaskWorker, taskWorkerDefaults } from "./task-worker.ts";
import type { TaskWorkerOptions } from "./task-worker.ts";
import type { NewTask, Queue, Tasks } from "./tasks.ts";

/** What an engine needs. */
export interface TasksInit {
  readonly service: string;
  readonly database: Database;
  /** The queues, or a function that returns them: called once, at the first task or the start, because a service has its tasks before its queues. */
  readonly queues: readonly Queue[] | (() => readonly Queue[]);
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly options?: Partial<TaskWorkerOptions>;
}

/** A queue in numbers: its tasks, whichever process wrote them, and how tries have ended in this process since its start. */
export interface QueueFigures extends QueueCounts, Readonly<Tally> {}

/** A service's tasks with the worker of this process. */
export interface TasksEngine extends Tasks {
  /** Begins to claim and run. */
  start(): Promise<void>;
  /** Claims no more and waits for running tasks. */
  stop(): Promise<void>;
  /** Resolves when nothing runs and nothing is due now, by the injected clock. */
  idle(): Promise<void>;
  /** Every queue in numbers, for the metrics: one statement over what is not done. */
  figures(): Promise<QueueFigures[]>;
}

/** What all engines share. */
export interface EngineParts {
  readonly service: string;
  readonly database: Database;
  readonly log: Logger;
  readonly runs: TaskRuns;
  readonly leaseMs: number;
  readonly queues: () => ReadonlyMap<string, Queue>;
  /** To be called when the worker should poll the table. */
  readonly wake: () => void;
  /** To be called when there may be room again for what is due. */
  readonly capacityFreed: () => void;
}

/** What distinguishes an engine. */
export interface EngineKind {
  readonly dispatch: Dispatch;
  /** Before the worker polls for the first time. */
  readonly start?: () => Promise<void>;
  /** Accepts nothing new from now on. Before the worker stops. */
  readonly retire?: () => void;
  /** When nothing runs any more. */
  readonly stop?: () => Promise<void>;
}

/** The engine that all kinds share: rows written and moved, a worker that claims due ones, wake-ups between processes. */
export function createEngine(init: TasksInit, kind: (parts: EngineParts) => EngineKind): TasksEngine {
  const { service, database, clock, ids, random = Math.random } = init;
  const log = init.log.child({ service });
  const options = { ...taskWorkerDefaults, ...init.options };
  const wakeups = new TaskWakeups({ database, log, self: ids.next("wrk") });
  let known: ReadonlyMap<string, Queue> | undefined;
  const queues = () => (known ??= queuesByName(init));
  const runs = new TaskRuns({
    service,
    database,
    clock,
    log,
    random,
    leaseMs: options.leaseMs,
    rescheduled: (dueAt) => worker.expectDue(dueAt),
    ended: () => worker.capacityFreed(),
  });
  const { dispatch, ...life } = kind({
    service,
    database,
    log,
    runs,
    leaseMs: options.leaseMs,
    queues,
    wake: () => worker.wake(),
    capacityFreed: () => worker.capacityFreed(),
  });
  const worker = new TaskWorker({ database, clock, log, options, runs, dispatch, leftOver: () => wakeups.send() });

  const wake = (dueAt?: Date) => {
    if (dueAt !== undefined && dueAt > clock.now()) return worker.expectDue(dueAt);
    worker.wakeForOwn();
  };
  const addSql: Tasks["addSql"] = (call, tasks, written) => {
    const now = clock.now();
    const rows = tasks.map((task) => {
      const queue = queues().get(task.queue);
      if (queue === undefined) throw new Error(`${service} has no queue ${task.queue}`);
      return {
        id: ids.next("tsk"),
        queue: task.queue,
        key: task.key,
        ...payloadOf(queue, task),
        dueAt: task.dueAt ?? now,
        call: task.call ?? call,
        of: task.of,
      };
    });
    return insertTasks(rows, now, written);
  };
  const stop = async () => {
    worker.retire();
    await wakeups.stop();
    life.retire?.();
    await worker.stop();
    await life.stop?.();
  };
  let stopping: Promise<void> | undefined;

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
      const served = [...queues().values()];
      if (served.length > 0) {
        await life.start?.();
        await wakeups.start(() => worker.wake());
      }
      outsideTransaction(() => worker.start(served));
    },
    stop: () => (stopping ??= stop()),
    idle: () => worker.idle(),
    figures: async () => figuresOf(queues().keys(), await countTasks(database, clock.now()), runs.runner.tallies),
  };
}

/** When the first of the tasks is due; undefined for at once. */
function earliestOf(tasks: readonly NewTask[]): Date | undefined {
  if (tasks.some(({ dueAt }) => dueAt === undefined)) return undefined;
  return new Date(Math.min(...tasks.map(({ dueAt }) => dueAt!.getTime())));
}

function queuesByName({ service, queues }: TasksInit): ReadonlyMap<string, Queue> {
  const all = typeof queues === "function" ? queues() : queues;
  const byName = new Map(all.map((queue) => [queue.name, queue]));
  if (byName.size < all.length) throw new Error(`two queues of ${service} have the same name`);
  return byName;
}

function payloadOf({ name, schema }: Queue, { payload }: NewTask): { readonly type: string; readonly payload: Uint8Array } {
  if (payload.$typeName !== schema.typeName) throw new Error(`the queue ${name} takes ${schema.typeName}, not ${payload.$typeName}`);
  return { type: schema.typeName, payload: toBinary(schema, payload) };
}

/** The figures of these queues, and of those that have tasks. */
function figuresOf(
  names: Iterable<string>,
  counted: readonly QueueCounts[],
  tallies: ReadonlyMap<string, Readonly<Tally>>,
): QueueFigures[] {
  const counts = new Map(counted.map((row) => [row.queue, row]));
  return [...new Set([...names, ...counts.keys()])].map((queue) => ({
    ...(counts.get(queue) ?? { queue, scheduled: 0, due: 0, running: 0, dead: 0, oldestDueAt: undefined }),
    ...(tallies.get(queue) ?? { done: 0, failed: 0, died: 0 }),
  }));
}
