import { performance } from "node:perf_hooks";
import { setImmediate as nextTurn, setTimeout as pause } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { finishTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";
import type { Queue, Task } from "./tasks.ts";

const batchMax = 500;
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
 * Marks tasks without an effect of their own as done: while one write is under way the next ones gather, and are written together, with what
 * their queue settles for all of them. One that cannot be written while its lease lasts is dropped; the task runs again.
 */
export class Completions {
  readonly #needs: Needs;
  #waiting: Completion[] = [];
  #writing: Promise<void> | undefined;
  #closing = false;

  constructor(needs: Needs) {
    this.#needs = needs;
  }

  add(completion: Completion): void {
    this.#waiting.push(completion);
    this.#writing ??= this.#write();
  }

  /** Resolves when all that has been added is written or dropped. */
  async written(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  /** Writes what there is, without retries. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.written();
  }

  async #write(): Promise<void> {
    await nextTurn(); // tasks that end in this turn are written together
    while (this.#waiting.length > 0) {
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
      const retried = this.#closing ? [] : completions.filter(({ lease }) => lease.endsMs > performance.now());
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

  /** All in one transaction, or where that fails, each in its own, so that one bad task does not affect the others. */
  async #settle(queue: Queue, completions: readonly Completion[]): Promise<void> {
    const { database, clock, failed } = this.#needs;
    try {
      const marked = await database.transaction(
        async (tx) => {
          const ids = new Set(await finishTasks(tx, completions.map(rowOf), clock.now()));
          const valid = completions.filter(({ row }) => ids.has(row.id));
          if (valid.length > 0) await queue.settle?.(tx, valid.map(taskOf));
          return ids;
        },
        { pool: "background" },
      );
      this.#note(completions, marked);
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
