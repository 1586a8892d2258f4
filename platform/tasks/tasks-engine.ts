import { toBinary } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Ids } from "../ids/ids.ts";
import type { Call } from "../call/call.ts";
import type { Logger } from "../telemetry/logger.ts";
import { countTasks } from "./admin.ts";
import type { QueueCounts } from "./admin.ts";
import type { Dispatch } from "./dispatch.ts";
import type { Tally } from "./task-runner.ts";
import { TaskRuns } from "./task-runs.ts";
import { insertTasks, moveTask } from "./task-store.ts";
import type { CausedTask } from "./task-store.ts";
import { TaskWakeups } from "./task-wakeups.ts";
import { TaskWorker, taskWorkerDefaults } from "./task-worker.ts";
import type { TaskWorkerOptions } from "./task-worker.ts";
import type { NewTask, Queue, Tasks } from "./tasks.ts";

/** What an engine needs. */
export interface TasksInit {
  readonly service: string;
  readonly database: Database;
  /** The queues, or a function that gives them: called once, at the first task or the start, because a service has its tasks before its queues. */
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
  let queues: ReadonlyMap<string, Queue> | undefined;

  const queuesByName = () => {
    if (queues !== undefined) return queues;
    const all = typeof init.queues === "function" ? init.queues() : init.queues;
    const byName = new Map(all.map((queue) => [queue.name, queue]));
    if (byName.size < all.length) throw new Error(`two queues of ${service} have the same name`);
    return (queues = byName);
  };
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
    queues: queuesByName,
    wake: () => worker.wake(),
    capacityFreed: () => worker.capacityFreed(),
  });
  const worker = new TaskWorker({ database, clock, log, options, runs, dispatch });

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
    if (dueAt !== undefined && dueAt > clock.now()) return worker.expectDue(dueAt);
    worker.wake();
    wakeups.send();
  };
  const addSql: Tasks["addSql"] = (call, tasks) => {
    const now = clock.now();
    return insertTasks(tasks.map(rowOf(call, now)), now);
  };
  const stop = async () => {
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
      const served = [...queuesByName().values()];
      if (served.length > 0) {
        await life.start?.();
        await wakeups.start(() => worker.wake());
      }
      outsideTransaction(() => worker.start(served));
    },
    stop: () => (stopping ??= stop()),
    idle: () => worker.idle(),
    async figures() {
      const counts = new Map((await countTasks(database, clock.now())).map((row) => [row.queue, row]));
      const { tallies } = runs.runner;
      return [...new Set([...queuesByName().keys(), ...counts.keys()])].map((queue) => ({
        ...(counts.get(queue) ?? { queue, scheduled: 0, due: 0, running: 0, dead: 0, oldestDueAt: undefined }),
        ...(tallies.get(queue) ?? { done: 0, failed: 0, died: 0 }),
      }));
    },
  };
}

/** When the first of the tasks is due; undefined for at once. */
function earliestOf(tasks: readonly NewTask[]): Date | undefined {
  if (tasks.some(({ dueAt }) => dueAt === undefined)) return undefined;
  return new Date(Math.min(...tasks.map(({ dueAt }) => dueAt!.getTime())));
}
