import { performance } from "node:perf_hooks";
import type { RunLease } from "./completions.ts";
import { within } from "../retry/within.ts";
import { TaskRunner } from "./task-runner.ts";
import type { TaskRunnerNeeds } from "./task-runner.ts";
import { releaseTasks, renewTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

type Needs = TaskRunnerNeeds & {
  /** How long a lease lasts without having been renewed. */
  readonly leaseMs: number;
  /** Called when one has ended, so that its slot is free. */
  readonly ended: () => void;
};

/** A lease is renewed when a third of it is over, so that two renewals may fail. */
const renewAfter = 1 / 3;

/** The tasks that run in this process. Their leases are renewed until they end, so that only a process that has ended loses them. */
export class TaskRuns {
  readonly runner: TaskRunner;
  readonly #needs: Needs;
  readonly #running = new Map<string, Map<ClaimedTask, RunLease>>();
  #size = 0;
  #renewal: NodeJS.Timeout | undefined;
  #closed = false;
  #progress = Promise.withResolvers<void>();

  constructor(needs: Needs) {
    this.#needs = needs;
    this.runner = new TaskRunner(needs);
  }

  get size(): number {
    return this.#size;
  }

  /** Resolves when the next one ends. */
  get progress(): Promise<void> {
    return this.#progress.promise;
  }

  countOf(queue: Queue): number {
    return this.#running.get(queue.name)?.size ?? 0;
  }

  /** Runs a task that was begun; resolves when the try has ended, whatever its result. */
  async run(queue: Queue, task: ClaimedTask, leaseEndsMs: number): Promise<void> {
    let running = this.#running.get(queue.name);
    if (running === undefined) this.#running.set(queue.name, (running = new Map()));
    const lease = { endsMs: leaseEndsMs };
    running.set(task, lease);
    this.#size++;
    this.#renewLater();
    await this.runner.run(queue, task, lease);
    running.delete(task);
    this.#size--;
    this.#needs.ended();
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  #all(): [ClaimedTask, RunLease][] {
    return [...this.#running.values()].flatMap((running) => [...running]);
  }

  #renewLater(): void {
    if (this.#renewal !== undefined || this.#closed) return;
    this.#renewal = setTimeout(() => void this.#renew(), this.#needs.leaseMs * renewAfter);
    this.#renewal.unref();
  }

  /** One statement for all running tasks. A task whose lease was lost goes on, and its end writes nothing. */
  async #renew(): Promise<void> {
    const { database, log, leaseMs } = this.#needs;
    const startedMs = performance.now();
    const due = new Map(this.#all().filter(([, { endsMs }]) => endsMs < startedMs + leaseMs * (1 - renewAfter)));
    try {
      const renewed = new Set(due.size === 0 ? [] : await renewTasks(database, [...due.keys()], leaseMs));
      for (const [task, lease] of due) if (renewed.has(task.id)) lease.endsMs = startedMs + leaseMs;
    } catch (error) {
      log.warn({ error, tasks: due.size }, "the leases of tasks that run could not be renewed");
    }
    this.#renewal = undefined;
    if (this.#size > 0) this.#renewLater();
  }

  /** Resolves when nothing runs and all ends are written or abandoned. */
  async quiet(): Promise<void> {
    while (this.#size > 0) await this.#progress.promise;
    await this.runner.completions.written();
  }

  /** Waits so long for running tasks, and releases those that have not ended. */
  async close(waitMs: number): Promise<void> {
    const { database, log } = this.#needs;
    await within(waitMs, this.quiet());
    const left = this.#all().map(([task]) => task);
    this.#closed = true;
    clearTimeout(this.#renewal);
    if (left.length > 0) {
      log.warn({ tasks: left.map((task) => task.id) }, "tasks were released because they did not end in time");
      try {
        await releaseTasks(database, left);
      } catch (error) {
        log.warn({ error }, "tasks could not be released");
      }
    }
    await this.runner.completions.close();
  }
}
