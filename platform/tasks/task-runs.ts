import { TaskRunner } from "./task-runner.ts";
import type { TaskRunnerNeeds } from "./task-runner.ts";
import { releaseTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

type Needs = TaskRunnerNeeds & {
  /** Told when one has ended, so that its place is free. */
  readonly ended: () => void;
};

/** The tasks that run in this process. */
export class TaskRuns {
  readonly runner: TaskRunner;
  readonly #needs: Needs;
  readonly #running = new Map<string, Set<ClaimedTask>>();
  #size = 0;
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

  /** Runs a task that was begun; resolves when the try is over, whatever came of it. */
  async run(queue: Queue, task: ClaimedTask, leaseEndsMs: number): Promise<void> {
    let running = this.#running.get(queue.name);
    if (running === undefined) this.#running.set(queue.name, (running = new Set()));
    running.add(task);
    this.#size++;
    await this.runner.run(queue, task, leaseEndsMs);
    running.delete(task);
    this.#size--;
    this.#needs.ended();
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  /** Resolves when nothing runs and all ends are written or given up. */
  async quiet(): Promise<void> {
    while (this.#size > 0) await this.#progress.promise;
    await this.runner.completions.written();
  }

  /** Waits so long for what runs, and gives back what has not ended. */
  async close(waitMs: number): Promise<void> {
    const { database, log } = this.#needs;
    await atMost(waitMs, this.quiet());
    const left = [...this.#running.values()].flatMap((running) => [...running]);
    if (left.length > 0) {
      log.warn({ tasks: left.map((task) => task.id) }, "tasks given back because they did not end in time");
      try {
        await releaseTasks(database, left);
      } catch (error) {
        log.warn({ error }, "tasks could not be given back");
      }
    }
    await this.runner.completions.close();
  }
}

/** Resolves with the promise, or when the time is over. */
export async function atMost(ms: number, promise: Promise<unknown>): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, ms);
  try {
    await Promise.race([promise, over.promise]);
  } finally {
    clearTimeout(timer);
  }
}
