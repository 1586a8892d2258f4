import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Database, Queries } from "../database/database.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import { rootCall } from "../call/call.ts";
import { parseTrace } from "../call/trace.ts";
import type { Logger } from "../telemetry/logger.ts";
import { within } from "../retry/within.ts";
import { Completions } from "./completions.ts";
import type { RunLease } from "./completions.ts";
import { failureCause } from "./failure-cause.ts";
import { attemptsMaxOf, retryDelayMs, timeoutMsOf } from "./retry-delay.ts";
import { continueTask, failTask, finishTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";
import type { Queue, Task, TaskResult } from "./tasks.ts";

const patienceMs = 8_000;
const writeAgainMs = 200;

export interface TaskRunnerNeeds {
  readonly service: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  /** Called when a task's row was made due again. */
  readonly rescheduled: (dueAt: Date) => void;
}

/** How many tries of a queue's tasks have ended in this process, and how. */
export interface Tally {
  done: number;
  failed: number;
  died: number;
}

/** Runs a try of claimed tasks to its end: done, due again, or dead. Writes nothing about a task that another process has claimed since. */
export class TaskRunner {
  readonly #needs: TaskRunnerNeeds;
  readonly completions: Completions;
  readonly #tallies = new Map<string, Tally>();

  constructor(needs: TaskRunnerNeeds) {
    this.#needs = needs;
    this.completions = new Completions({
      ...needs,
      done: (row) => void this.#tallyOf(row).done++,
      failed: ({ queue, row }, error) => this.fail(queue, row, error),
    });
  }

  /** How tries have ended in this process since its start, by queue. */
  get tallies(): ReadonlyMap<string, Readonly<Tally>> {
    return this.#tallies;
  }

  #tallyOf({ queue }: ClaimedTask): Tally {
    let tally = this.#tallies.get(queue);
    if (tally === undefined) this.#tallies.set(queue, (tally = { done: 0, failed: 0, died: 0 }));
    return tally;
  }

  /** Never rejects: what cannot be written is logged, and the task runs again when its lease has ended. */
  async run(queue: Queue, row: ClaimedTask, lease: RunLease): Promise<void> {
    try {
      const task = decode(queue, row);
      if (typeof task === "string") await this.#markDead(row, task);
      else if (row.attempts > attemptsMaxOf(queue)) await this.#markDead(row, "LEASE_EXPIRED: the last try ended without a result");
      else await this.#try(queue, task, row, lease);
    } catch (error) {
      this.#needs.log.warn(
        { error, task: row.id, queue: row.queue },
        "a task's end could not be written; it runs again when its lease has ended",
      );
    }
  }

  async #try(queue: Queue, task: Task, row: ClaimedTask, lease: RunLease): Promise<void> {
    const { service: caller, log } = this.#needs;
    const { id, correlation } = row;
    const timeoutMs = timeoutMsOf(queue);
    const call = rootCall({ caller, timeoutMs, idempotencyKey: id, causation: id, correlation, trace: parseTrace(row.trace) });
    try {
      // Work that was released at a stop must not keep the process running.
      const result = (await within(timeoutMs, queue.run(task, call), { late: tooLate, ref: false })) ?? {};
      if (result.effect === undefined && result.again === undefined) this.completions.add({ queue, task, row, lease });
      else if (!(await this.#conclude(row, result)))
        log.warn({ call, task: id, queue: row.queue }, "a task ended after another process had claimed it");
    } catch (error) {
      await this.fail(queue, row, error);
    }
  }

  /** Writes the end with its effect. The row is updated first: its lock keeps every other claim out until the commit. */
  async #conclude(row: ClaimedTask, { effect, again }: TaskResult): Promise<boolean> {
    const { database, clock, rescheduled } = this.#needs;
    const update = async (queries: Queries) =>
      again === undefined ? (await finishTasks(queries, [row], clock.now())).length === 1 : continueTask(queries, row, again);
    const valid =
      effect === undefined
        ? await update(database)
        : await database.transaction(
            async (tx) => {
              if (!(await update(tx))) return false;
              await effect(tx);
              return true;
            },
            { pool: "background" },
          );
    if (again !== undefined) rescheduled(again);
    if (valid) this.#tallyOf(row).done++;
    return valid;
  }

  /** Stores that a try failed: the task is due again after a pause, or dead after its last try. */
  async fail(queue: Pick<Queue, "attemptsMax" | "retryDelayMs" | "retryDelayMsMax">, row: ClaimedTask, error: unknown): Promise<void> {
    const { log, clock, random, database, rescheduled } = this.#needs;
    if (row.attempts >= attemptsMaxOf(queue)) return this.#markDead(row, failureCause(error), error);
    const delayMs = retryDelayMs(queue, row.attempts, random);
    log.warn({ error, task: row.id, queue: row.queue, attempt: row.attempts, delayMs }, "a task failed and will be retried");
    const dueAt = new Date(clock.now().getTime() + delayMs);
    const failed = await whileUnavailable(() => failTask(database, row, { cause: failureCause(error), dueAt }));
    if (failed) this.#tallyOf(row).failed++;
    rescheduled(dueAt);
  }

  async #markDead(row: ClaimedTask, cause: string, error?: unknown): Promise<void> {
    const { log, clock, database } = this.#needs;
    if (!(await failTask(database, row, { cause, deadAt: clock.now() }))) return;
    this.#tallyOf(row).died++;
    log.error(
      { alert: "TASK_DEAD", task: row.id, queue: row.queue, attempts: row.attempts, cause, error },
      "a task is dead: kontor tasks shows it",
    );
  }
}

/** The task, or why it cannot be read. */
function decode(queue: Queue, row: ClaimedTask): Task | string {
  if (row.type !== queue.schema.typeName) return `UNREADABLE: the queue takes ${queue.schema.typeName}, the task holds ${row.type}`;
  try {
    const { id, key, attempts: attempt, dueAt } = row;
    return { id, queue: queue.name, key, attempt, dueAt, payload: fromBinary(queue.schema, row.payload) };
  } catch (error) {
    return `UNREADABLE: ${failureCause(error)}`;
  }
}

/** The call's deadline ends the work itself. */
function tooLate(): never {
  throw refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
}

/** Retries the write for a while when the database is unavailable, which may be why the task failed: otherwise it would wait for its lease to end. */
async function whileUnavailable<T>(write: () => Promise<T>): Promise<T> {
  const untilMs = performance.now() + patienceMs;
  for (;;)
    try {
      return await write();
    } catch (error) {
      if (refusalIn(error)?.code !== "unavailable" || performance.now() >= untilMs) throw error;
      await pause(writeAgainMs);
    }
}
