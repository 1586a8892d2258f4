import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Sql } from "../database/sql.ts";
import { refusalIn } from "../errors/refusal.ts";
import { Waker } from "../changes/waker.ts";
import type { Logger } from "../telemetry/logger.ts";
import { finishTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";
import type { Queue, Task } from "./tasks.ts";

const batchMax = 500;
/** Nobody waits for the mark, and a lease lasts for seconds: tasks that end in this time are marked together. */
const gatherMs = 20;
const retryMs = 200;

/** The lease of a running task; it is renewed while the task runs. */
export interface RunLease {
  /** Until when on the monotonic clock. */
  endsMs: number;
}

/** A task whose work is done. */
export interface Completion {
  readonly queue: Queue;
  readonly task: Task;
  readonly row: ClaimedTask;
  readonly lease: RunLease;
}

interface Needs {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  /** Called for each task that is done. */
  readonly done: (row: ClaimedTask) => void;
  /** Called for a task whose queue's `settle` failed for it alone. */
  readonly failed: (completion: Completion, error: unknown) => Promise<void>;
}

/**
 * Marks tasks without an effect of their own as done: those that end within a moment are written together, with what their queue settles for all of
 * them. One that cannot be written while its lease lasts is dropped; the task runs again.
 */
export class Completions {
  readonly #needs: Needs;
  #waiting: Completion[] = [];
  #writing: Promise<void> | undefined;
  readonly #waker = new Waker();

  constructor(needs: Needs) {
    this.#needs = needs;
  }

  add(completion: Completion): void {
    this.#waiting.push(completion);
    this.#writing ??= this.#write();
  }

  /** Resolves when all that has been added is written, without waiting for more, or dropped. */
  async written(): Promise<void> {
    while (this.#writing !== undefined) {
      this.#waker.hurry();
      await this.#writing;
    }
  }

  /** Writes what there is, without retries. */
  async close(): Promise<void> {
    this.#waker.close();
    await this.written();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#waker.pause(gatherMs);
      const batch = this.#waiting.splice(0, batchMax);
      const plain = batch.filter(({ queue }) => queue.settle === undefined);
      if (plain.length > 0) await this.#attempt(plain, async () => this.#finish(plain));
      const settled = Map.groupBy(
        batch.filter(({ queue }) => queue.settle !== undefined),
        ({ queue }) => queue,
      );
      for (const [queue, completions] of settled) await this.#attempt(completions, async () => this.#settle(queue, completions));
    }
    this.#writing = undefined;
  }

  /** Queues them for another try when the database is unavailable. */
  async #attempt(completions: readonly Completion[], write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      const retried = this.#waker.closed ? [] : completions.filter(({ lease }) => lease.endsMs > performance.now());
      this.#needs.log.warn(
        { error, retried: retried.length, dropped: completions.length - retried.length },
        "tasks could not be marked as done",
      );
      this.#waiting.unshift(...retried);
      if (retried.length > 0) await pause(retryMs);
    }
  }

  async #finish(completions: readonly Completion[]): Promise<void> {
    const { database, clock } = this.#needs;
    this.#note(completions, new Set(await finishTasks(database, completions.map(rowOf), clock.now())));
  }

  /** All in one statement, or where that fails, each in its own, so that one bad task does not affect the others. */
  async #settle(queue: Queue, completions: readonly Completion[]): Promise<void> {
    const { database, clock, failed } = this.#needs;
    try {
      const settle = (done: Sql) => queue.settle!(completions.map(taskOf), done);
      this.#note(completions, new Set(await finishTasks(database, completions.map(rowOf), clock.now(), settle)));
    } catch (error) {
      const [first, ...others] = completions;
      if (first === undefined || refusalIn(error)?.code === "unavailable") throw error;
      if (others.length === 0) return failed(first, error);
      for (const completion of completions) await this.#attempt([completion], async () => this.#settle(queue, [completion]));
    }
  }

  #note(completions: readonly Completion[], marked: ReadonlySet<string>): void {
    const late = completions.length - marked.size;
    for (const { row } of completions) if (marked.has(row.id)) this.#needs.done(row);
    if (late > 0) this.#needs.log.warn({ late }, "tasks ended after other processes had claimed them");
  }
}

const rowOf = ({ row }: Completion): ClaimedTask => row;
const taskOf = ({ task }: Completion): Task => task;
