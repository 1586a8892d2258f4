import { performance } from "node:perf_hooks";
import type { Database } from "../database/database.ts";
import type { TaskRuns } from "./task-runs.ts";
import { claimTasks } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

/** How many tasks of a queue to claim now; with 0 only the next due time is read. */
export interface Request {
  readonly queue: Queue;
  readonly room: number;
}

export interface Dispatched {
  /** How many were found, by the queue's name. */
  readonly found: ReadonlyMap<string, number>;
  readonly nextDue: Date | undefined;
}

/** What happens to due tasks: they run in this process, or go to a broker that delivers them to any process of the service. */
export interface Dispatch {
  /** How many of the queue's tasks to claim now. An implementation that returns 0 notifies the worker when there is room again. */
  roomFor(queue: Queue): number;
  /** Claims due tasks and dispatches them. Rejects when the database is unavailable. */
  dispatch(requests: readonly Request[], now: Date): Promise<Dispatched>;
}

/** How many of a queue's tasks run at a time in a process. */
export function concurrencyOf(queue: Pick<Queue, "concurrency">): number {
  return queue.concurrency ?? 8;
}

/** Due tasks run in the process that claims them. */
export function runHere(needs: { readonly database: Database; readonly runs: TaskRuns; readonly leaseMs: number }): Dispatch {
  const { database, runs, leaseMs } = needs;
  return {
    // None before half of the slots are free, so that a busy queue is claimed in batches.
    roomFor(queue) {
      const concurrency = concurrencyOf(queue);
      const free = concurrency - runs.countOf(queue);
      return free >= Math.ceil(concurrency / 2) ? free : 0;
    },
    async dispatch(requests, now) {
      const startedMs = performance.now();
      const wanted = requests.map(({ queue, room }) => ({ queue: queue.name, room, leaseMs }));
      const { claimed, nextDue } = await claimTasks(database, wanted, now);
      const queues = new Map(requests.map(({ queue }) => [queue.name, queue]));
      const found = new Map<string, number>();
      for (const task of claimed) {
        const queue = queues.get(task.queue);
        if (queue === undefined) throw new Error(`a task of ${task.queue} was claimed without having been requested`);
        found.set(task.queue, (found.get(task.queue) ?? 0) + 1);
        void runs.run(queue, task, startedMs + leaseMs);
      }
      return { found, nextDue };
    },
  };
}
