import { performance } from "node:perf_hooks";
import type { Queue } from "./tasks.ts";
import { timeoutMsOf } from "./retry-delay.ts";
import { TaskRunner } from "./task-runner.ts";
import type { TaskRunnerNeeds } from "./task-runner.ts";
import { anyTaskDue, claimTasks, releaseTasks, sweepTasks } from "./task-store.ts";
import type { ClaimedTask } from "./task-store.ts";

export interface TaskWorkerOptions {
  /** How often the table is looked at when nothing was heard: 5,000. A shorter time finds a dead process's tasks sooner. */
  readonly pollMs: number;
  /** What a lease lasts beyond the queue's timeout, to write the end: 10,000. Shorter takes over sooner, and too soon from a slow one. */
  readonly leaseMarginMs: number;
  /** The least pause between two looks at the table that found all there was: 10. Longer claims in bigger batches, later. */
  readonly claimPauseMs: number;
  /** How long a done task is remembered, by the injected clock: a day. */
  readonly keepDoneMs: number;
  /** How long `stop` waits for tasks under way: 10,000. Those are then given back. */
  readonly stopMs: number;
}

export const taskWorkerDefaults: TaskWorkerOptions = {
  pollMs: 5_000,
  leaseMarginMs: 10_000,
  claimPauseMs: 10,
  keepDoneMs: 86_400_000,
  stopMs: 10_000,
};

type Needs = Omit<TaskRunnerNeeds, "wentOn"> & { readonly options: TaskWorkerOptions };

/** A queue as this process works on it. */
interface Lane {
  readonly queue: Queue;
  readonly concurrency: number;
  readonly leaseMs: number;
  readonly running: Set<ClaimedTask>;
  /** Whether the table may hold due tasks that this process has not seen. */
  more: boolean;
}

const sweepEveryMs = 60_000;
const sweepBatch = 1_000;
const claimRetryMs = 1_000;
const lookAgainMs = 20;

/** Claims due tasks and has them run: the one loop of a process on a service's table. */
export class TaskWorker {
  readonly #needs: Needs;
  readonly #runner: TaskRunner;
  readonly #lanes = new Map<string, Lane>();
  readonly #sweeps = new Set<Promise<void>>();
  #loop: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #news = Promise.withResolvers<void>();
  #progress = Promise.withResolvers<void>();
  #endPause: (() => void) | undefined;
  #nextDue: Date | undefined;
  #sweepAtMs = 0;

  constructor(needs: Needs) {
    this.#needs = needs;
    this.#runner = new TaskRunner({ ...needs, wentOn: () => this.wake() });
  }

  start(queues: readonly Queue[]): void {
    if (this.#loop !== undefined || this.#stopping !== undefined) return;
    for (const queue of queues) {
      const leaseMs = timeoutMsOf(queue) + this.#needs.options.leaseMarginMs;
      this.#lanes.set(queue.name, { queue, concurrency: queue.concurrency ?? 8, leaseMs, running: new Set(), more: true });
    }
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
    const { database, clock } = this.#needs;
    while (this.#stopping === undefined && this.#lanes.size > 0) {
      await this.#quiet();
      if (!(await anyTaskDue(database, [...this.#lanes.keys()], clock.now())) && this.#running() === 0) return;
      const progress = this.#progress.promise;
      this.wake();
      await atMost(lookAgainMs, progress); // what another process runs is only seen by looking again
    }
  }

  async #stop(): Promise<void> {
    const { database, log, options } = this.#needs;
    this.#news.resolve();
    this.#endPause?.();
    await this.#loop;
    await atMost(options.stopMs, this.#quiet());
    const left = [...this.#lanes.values()].flatMap((lane) => [...lane.running]);
    if (left.length > 0) {
      log.warn({ tasks: left.map((task) => task.id) }, "tasks given back because they did not end in time");
      await this.#logged("tasks could not be given back", releaseTasks(database, left));
    }
    await this.#runner.completions.close();
  }

  #running(): number {
    let count = this.#sweeps.size;
    for (const lane of this.#lanes.values()) count += lane.running.size;
    return count;
  }

  async #quiet(): Promise<void> {
    while (this.#running() > 0) await this.#progress.promise;
    await this.#runner.completions.written();
  }

  #progressed(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  async #work(): Promise<void> {
    while (this.#stopping === undefined) {
      this.#news = Promise.withResolvers();
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
      if (!this.#wanted()) await this.#rest();
      this.#sweepWhenDue();
    }
  }

  #more(): boolean {
    for (const lane of this.#lanes.values()) if (lane.more) return true;
    return false;
  }

  #wanted(): boolean {
    for (const lane of this.#lanes.values()) if (roomOf(lane) > 0) return true;
    return false;
  }

  async #claim(): Promise<void> {
    const { database, clock } = this.#needs;
    const asked = [...this.#lanes.values()].map((lane) => ({
      lane,
      queue: lane.queue.name,
      room: roomOf(lane),
      leaseMs: lane.leaseMs,
      found: 0,
    }));
    for (const { lane, room } of asked) if (room > 0) lane.more = false; // a wake-up from here on sets it again
    const startedMs = performance.now();
    // What is expected while the statement runs, it may not have seen.
    this.#nextDue = undefined;
    const { claimed, nextDue } = await claimTasks(database, asked, clock.now());
    this.#nextDue = earlier(this.#nextDue, nextDue);
    for (const request of asked) {
      for (const task of claimed)
        if (task.queue === request.queue) {
          request.found++;
          void this.#run(request.lane, task, startedMs + request.leaseMs);
        }
      if (request.room > 0 && request.found === request.room) request.lane.more = true;
    }
  }

  async #run(lane: Lane, task: ClaimedTask, leaseEndsMs: number): Promise<void> {
    lane.running.add(task);
    await this.#runner.run(lane.queue, task, leaseEndsMs);
    lane.running.delete(task);
    if (roomOf(lane) > 0) this.#news.resolve();
    this.#progressed();
  }

  /** Waits until there is news, the next task is due, or the safety net says to look. */
  async #rest(): Promise<void> {
    if (this.#stopping !== undefined) return;
    const resting = new AbortController();
    const poll = setTimeout(() => this.wake(), this.#needs.options.pollMs);
    if (this.#nextDue !== undefined)
      void this.#needs.clock.until(this.#nextDue, resting.signal).then(() => {
        if (!resting.signal.aborted) this.wake();
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
    const { clock, database, options } = this.#needs;
    const nowMs = clock.now().getTime();
    if (nowMs < this.#sweepAtMs || this.#stopping !== undefined) return;
    this.#sweepAtMs = nowMs + sweepEveryMs;
    const sweep = async () => {
      const before = new Date(nowMs - options.keepDoneMs);
      while ((await sweepTasks(database, before, sweepBatch)) === sweepBatch);
    };
    const sweeping = this.#logged("done tasks could not be swept", sweep()).finally(() => {
      this.#sweeps.delete(sweeping);
      this.#progressed();
    });
    this.#sweeps.add(sweeping);
  }

  async #logged(failure: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#needs.log.warn({ error }, failure);
    }
  }
}

/** How many tasks to claim now: none before half of the places are free, so that a busy queue is claimed in batches. */
function roomOf({ more, concurrency, running }: Lane): number {
  const free = concurrency - running.size;
  return more && free >= Math.ceil(concurrency / 2) ? free : 0;
}

async function atMost(ms: number, promise: Promise<void>): Promise<void> {
  const over = Promise.withResolvers<void>();
  const timer = setTimeout(over.resolve, ms);
  await Promise.race([promise, over.promise]);
  clearTimeout(timer);
}

function earlier(a: Date | undefined, b: Date | undefined): Date | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return b < a ? b : a;
}
