import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Dispatch } from "./dispatch.ts";
import { within } from "../retry/within.ts";
import type { TaskRuns } from "./task-runs.ts";
import { anyTaskDue } from "./task-store.ts";
import type { Queue } from "./tasks.ts";

export interface TaskWorkerOptions {
  /** How often the table is polled without notifications: 5,000. A shorter time finds a dead process's tasks sooner. */
  readonly pollMs: number;
  /** How long a lease on a running task lasts without renewal: 10,000. A shorter one takes over sooner, and too soon from a slow process. */
  readonly leaseMs: number;
  /** The least pause between two claims that left no due task: 40. A longer one claims in bigger batches, later. */
  readonly claimPauseMs: number;
  /** How long `stop` waits for tasks under way: 10,000. The rest is then released. */
  readonly stopMs: number;
}

export const taskWorkerDefaults: TaskWorkerOptions = {
  pollMs: 5_000,
  leaseMs: 10_000,
  claimPauseMs: 40,
  stopMs: 10_000,
};

interface Needs {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly options: TaskWorkerOptions;
  readonly dispatch: Dispatch;
  readonly runs: TaskRuns;
  /** Called when tasks were written that this process does not take, so that others should. */
  readonly leftOver: () => void;
}

/** A queue whose tasks this process claims. */
interface ServedQueue {
  readonly queue: Queue;
  /** Whether the table may have due tasks that this process has not seen. */
  more: boolean;
}

const claimRetryMs = 1_000;
const pollIdleMs = 20;

/** Claims due tasks and has them dispatched: the one loop of a process on a service's table. */
export class TaskWorker {
  readonly #needs: Needs;
  readonly #served = new Map<string, ServedQueue>();
  #loop: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #wakeup = Promise.withResolvers<void>();
  #endPause: (() => void) | undefined;
  #nextDue: Date | undefined;
  /** Whether this process has written tasks since its last claim. */
  #ownTasks = false;
  #retired = false;

  constructor(needs: Needs) {
    this.#needs = needs;
  }

  start(queues: readonly Queue[]): void {
    if (this.#loop !== undefined || this.#stopping !== undefined) return;
    for (const queue of queues) this.#served.set(queue.name, { queue, more: true });
    this.#loop = this.#work();
  }

  /** Claims no more, waits for running tasks, releases those that do not end in time. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** There may be new due tasks. */
  wake(): void {
    for (const served of this.#served.values()) served.more = true;
    this.#wakeup.resolve();
  }

  /** This process has written due tasks. Others are told only when it does not take them all: a notification is a commit of its own. */
  wakeForOwn(): void {
    this.#ownTasks = true;
    this.wake();
    if (!this.#wanted()) this.#leave();
  }

  /** Leaves to others, from now on, what is written in this process and not claimed yet. */
  retire(): void {
    this.#retired = true;
    if (this.#ownTasks) this.#leave();
  }

  #leave(): void {
    this.#ownTasks = false;
    this.#needs.leftOver();
  }

  /** There may be room again for due tasks. */
  capacityFreed(): void {
    if (this.#wanted()) this.#wakeup.resolve();
  }

  /** There is a new task. One that is due later only changes how long the worker waits, without a query. */
  expectDue(dueAt: Date): void {
    if (dueAt <= this.#needs.clock.now()) return this.wake();
    if (earlier(this.#nextDue, dueAt) === this.#nextDue) return;
    this.#nextDue = dueAt;
    this.#wakeup.resolve();
  }

  /** Resolves when nothing runs and nothing is due now, in this process or in another. Only for a worker that was started. */
  async idle(): Promise<void> {
    if (this.#loop === undefined) throw new Error("a worker that was not started never becomes idle");
    const { database, clock, runs } = this.#needs;
    while (this.#stopping === undefined && this.#served.size > 0) {
      await runs.quiet();
      if (!(await anyTaskDue(database, [...this.#served.keys()], clock.now())) && runs.size === 0) return;
      const { progress } = runs;
      this.wake();
      await within(pollIdleMs, progress); // what another process runs is only seen by polling
    }
  }

  async #stop(): Promise<void> {
    const { options, runs } = this.#needs;
    this.#wakeup.resolve();
    this.#endPause?.();
    await this.#loop;
    await runs.close(options.stopMs);
  }

  async #work(): Promise<void> {
    while (this.#stopping === undefined) {
      this.#wakeup = Promise.withResolvers();
      if (this.#wanted()) {
        try {
          await this.#claim();
          if (!this.#more()) await this.#pause(this.#needs.options.claimPauseMs);
        } catch (error) {
          this.#needs.log.warn({ error }, "due tasks could not be claimed");
          this.wake();
          await this.#pause(claimRetryMs);
        }
      }
      if (!this.#wanted()) await this.#waitForWork();
    }
  }

  #more(): boolean {
    for (const served of this.#served.values()) if (served.more) return true;
    return false;
  }

  #wanted(): boolean {
    for (const served of this.#served.values()) if (this.#roomOf(served) > 0) return true;
    return false;
  }

  #roomOf(served: ServedQueue): number {
    return served.more && !this.#retired ? this.#needs.dispatch.roomFor(served.queue) : 0;
  }

  async #claim(): Promise<void> {
    const { dispatch, clock } = this.#needs;
    const requests = [...this.#served.values()].map((served) => ({ served, queue: served.queue, room: this.#roomOf(served) }));
    const full = requests.some(({ served, room }) => served.more && room === 0);
    for (const { served, room } of requests) if (room > 0) served.more = false; // a wake-up from here on sets it again
    // The statement may not see tasks that are announced while it runs.
    this.#nextDue = undefined;
    const ownTasks = this.#ownTasks;
    this.#ownTasks = false;
    const { found, nextDue } = await dispatch.dispatch(requests, clock.now());
    this.#nextDue = earlier(this.#nextDue, nextDue);
    for (const { served, queue, room } of requests) if (room > 0 && found.get(queue.name) === room) served.more = true;
    if (ownTasks && (full || requests.some(({ queue, room }) => room > 0 && found.get(queue.name) === room))) this.#leave();
  }

  /** Waits until it is woken, the next task is due, or it is time to poll. */
  async #waitForWork(): Promise<void> {
    if (this.#stopping !== undefined) return;
    const resting = new AbortController();
    const poll = setTimeout(() => this.wake(), this.#needs.options.pollMs);
    if (this.#nextDue !== undefined)
      void this.#needs.clock.until(this.#nextDue, resting.signal).then(() => {
        if (resting.signal.aborted) return;
        // The next claim sets it again. A time that has passed would end each wait at once while there is no room for tasks.
        this.#nextDue = undefined;
        this.wake();
      });
    await this.#wakeup.promise;
    clearTimeout(poll);
    resting.abort();
  }

  /** Waits so long, or until a stop. */
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
}

function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b < a ? b : a;
}
