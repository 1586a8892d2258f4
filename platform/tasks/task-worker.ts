import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Dispatch } from "./dispatch.ts";
import { within } from "../retry/within.ts";
import type { TaskRuns } from "./task-runs.ts";
import { anyTaskDue, sweepTasks } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

export interface TaskWorkerOptions {
  /** How often the table is looked at when nothing was heard: 5,000. A shorter time finds a dead process's tasks sooner. */
  readonly pollMs: number;
  /** How long a task that runs is leased, each time anew while its process lives: 10,000. Shorter takes over sooner, and too soon from a slow one. */
  readonly leaseMs: number;
  /** The least pause between two looks at the table that found all there was: 10. Longer claims in bigger batches, later. */
  readonly claimPauseMs: number;
  /** How long a done task is remembered, by the injected clock: a day. */
  readonly keepDoneMs: number;
  /** How long `stop` waits for tasks under way: 10,000. Those are then given back. */
  readonly stopMs: number;
}

export const taskWorkerDefaults: TaskWorkerOptions = {
  pollMs: 5_000,
  leaseMs: 10_000,
  claimPauseMs: 10,
  keepDoneMs: 86_400_000,
  stopMs: 10_000,
};

interface Needs {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: TaskWorkerOptions;
  readonly dispatch: Dispatch;
  readonly runs: TaskRuns;
}

/** A queue as this process looks after it. */
interface Lane {
  readonly queue: Queue;
  /** Whether the table may hold due tasks that this process has not seen. */
  more: boolean;
}

const sweepEveryMs = 60_000;
const sweepBatch = 1_000;
const claimRetryMs = 1_000;
const lookAgainMs = 20;

/** Looks for due tasks and has them dispatched: the one loop of a process on a service's table. */
export class TaskWorker {
  readonly #needs: Needs;
  readonly #lanes = new Map<string, Lane>();
  readonly #sweeps = new Set<Promise<void>>();
  #loop: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #news = Promise.withResolvers<void>();
  #endPause: (() => void) | undefined;
  #nextDue: Date | undefined;
  #sweepAtMs = 0;

  constructor(needs: Needs) {
    this.#needs = needs;
  }

  start(queues: readonly Queue[]): void {
    if (this.#loop !== undefined || this.#stopping !== undefined) return;
    for (const queue of queues) this.#lanes.set(queue.name, { queue, more: true });
    this.#loop = this.#work();
  }

  /** Claims no more, waits for what runs, gives back what does not end in time. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** There may be something new. */
  wake(): void {
    for (const lane of this.#lanes.values()) lane.more = true;
    this.#news.resolve();
  }

  /** There may be room again for tasks that were seen. */
  roomAgain(): void {
    if (this.#wanted()) this.#news.resolve();
  }

  /** There is a new task. One that is due later only moves the time until which the worker rests: nothing is asked of the database. */
  expect(dueAt: Date): void {
    if (dueAt <= this.#needs.clock.now()) return this.wake();
    if (earlier(this.#nextDue, dueAt) === this.#nextDue) return;
    this.#nextDue = dueAt;
    this.#news.resolve();
  }

  /** Resolves when nothing runs and nothing is due now, in this process or in another. Only for a worker that was started. */
  async idle(): Promise<void> {
    if (this.#loop === undefined) throw new Error("a worker that is not started never gets idle");
    const { database, clock, runs } = this.#needs;
    while (this.#stopping === undefined && this.#lanes.size > 0) {
      await this.#quiet();
      if (!(await anyTaskDue(database, [...this.#lanes.keys()], clock.now())) && runs.size === 0 && this.#sweeps.size === 0) return;
      const { progress } = runs;
      this.wake();
      await within(lookAgainMs, progress); // what another process runs is only seen by looking again
    }
  }

  async #stop(): Promise<void> {
    const { options, runs } = this.#needs;
    this.#news.resolve();
    this.#endPause?.();
    await this.#loop;
    await Promise.all([within(options.stopMs, Promise.all(this.#sweeps)), runs.close(options.stopMs)]);
  }

  async #quiet(): Promise<void> {
    while (this.#sweeps.size > 0) await Promise.all(this.#sweeps);
    await this.#needs.runs.quiet();
  }

  async #work(): Promise<void> {
    while (this.#stopping === undefined) {
      this.#news = Promise.withResolvers();
      if (this.#wanted()) {
        try {
          await this.#look();
          if (!this.#more()) await this.#pause(this.#needs.options.claimPauseMs);
        } catch (error) {
          this.#needs.log.warn({ error }, "due tasks could not be claimed");
          this.wake();
          await this.#pause(claimRetryMs);
        }
      }
      if (!this.#wanted()) await this.#rest();
      this.#sweepWhenDue();
    }
  }

  #more(): boolean {
    for (const lane of this.#lanes.values()) if (lane.more) return true;
    return false;
  }

  #wanted(): boolean {
    for (const lane of this.#lanes.values()) if (this.#roomOf(lane) > 0) return true;
    return false;
  }

  #roomOf(lane: Lane): number {
    return lane.more ? this.#needs.dispatch.roomFor(lane.queue) : 0;
  }

  async #look(): Promise<void> {
    const { dispatch, clock } = this.#needs;
    const asked = [...this.#lanes.values()].map((lane) => ({ lane, queue: lane.queue, room: this.#roomOf(lane) }));
    for (const { lane, room } of asked) if (room > 0) lane.more = false; // a wake-up from here on sets it again
    // What is expected while the statement runs, it may not have seen.
    this.#nextDue = undefined;
    const { found, nextDue } = await dispatch.dispatch(asked, clock.now());
    this.#nextDue = earlier(this.#nextDue, nextDue);
    for (const { lane, queue, room } of asked) if (room > 0 && found.get(queue.name) === room) lane.more = true;
  }

  /** Waits until there is news, the next task is due, or the safety net says to look. */
  async #rest(): Promise<void> {
    if (this.#stopping !== undefined) return;
    const resting = new AbortController();
    const poll = setTimeout(() => this.wake(), this.#needs.options.pollMs);
    if (this.#nextDue !== undefined)
      void this.#needs.clock.until(this.#nextDue, resting.signal).then(() => {
        if (resting.signal.aborted) return;
        // The next look tells anew. Kept, a time that has passed would end each rest at once while there is no room to look for.
        this.#nextDue = undefined;
        this.wake();
      });
    await this.#news.promise;
    clearTimeout(poll);
    resting.abort();
  }

  /** Waits so long; only a stop ends it earlier. */
  async #pause(ms: number): Promise<void> {
    if (this.#stopping !== undefined) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endPause = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endPause = undefined;
  }

  #sweepWhenDue(): void {
    const { clock, database, log, options } = this.#needs;
    const nowMs = clock.now().getTime();
    if (nowMs < this.#sweepAtMs || this.#stopping !== undefined) return;
    this.#sweepAtMs = nowMs + sweepEveryMs;
    const sweep = async () => {
      const before = new Date(nowMs - options.keepDoneMs);
      while ((await sweepTasks(database, before, sweepBatch)) === sweepBatch);
    };
    const sweeping = sweep()
      .catch((error: unknown) => log.warn({ error }, "done tasks could not be swept"))
      .finally(() => this.#sweeps.delete(sweeping));
    this.#sweeps.add(sweeping);
  }
}

function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b < a ? b : a;
}
