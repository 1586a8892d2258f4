import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

export interface SchedulerOptions {
  /** In log lines. */
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Does what is due. Gives when something is due next, as far as it knows. */
  readonly work: () => Promise<Date | undefined>;
}

const retryMs = 1_000;

/** Runs work when it is due: one timer for the earliest time that it knows, none while nothing is scheduled. */
export class Scheduler {
  readonly #options: SchedulerOptions;
  #nextMs = Infinity;
  #armedMs = Infinity;
  #timer = new AbortController();
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** Whether it is at work, or will be without any time passing. */
  get busy(): boolean {
    return !this.#stopped && (this.#running !== undefined || this.#isDue());
  }

  /** Schedules the work for that time, or for now when it is past. */
  wakeAt(at: Date): void {
    this.#nextMs = Math.min(this.#nextMs, at.getTime());
    this.#arm();
  }

  /** Resolves when all that is due is done. */
  async idle(): Promise<void> {
    while (this.busy) {
      this.#begin();
      await this.#running;
    }
  }

  /** Waits for the work under way. Again is fine. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer.abort();
    await this.#running;
  }

  #isDue(): boolean {
    return this.#nextMs <= this.#options.clock.now().getTime();
  }

  #arm(): void {
    if (this.#stopped || this.#running !== undefined) return;
    if (this.#isDue()) return this.#begin();
    if (this.#nextMs === this.#armedMs) return;
    this.#timer.abort();
    const timer = (this.#timer = new AbortController());
    this.#armedMs = this.#nextMs;
    if (this.#nextMs !== Infinity)
      void this.#options.clock.until(new Date(this.#nextMs), timer.signal).then(() => {
        if (timer.signal.aborted) return;
        this.#armedMs = Infinity;
        this.#arm();
      });
  }

  #begin(): void {
    // Not begun before `#running` is set, or work that wakes the loop would begin it again.
    this.#running ??= Promise.resolve()
      .then(() => this.#run())
      .finally(() => {
        this.#running = undefined;
        this.#arm();
      });
  }

  async #run(): Promise<void> {
    const { name, clock, log, work } = this.#options;
    while (!this.#stopped && this.#isDue()) {
      // Before the work, so that a time that comes meanwhile is not lost.
      this.#nextMs = Infinity;
      let next: Date | undefined;
      try {
        next = await work();
      } catch (error) {
        log.warn({ error }, `${name} failed and will be tried again`);
        next = new Date(clock.now().getTime() + retryMs);
      }
      if (next !== undefined) this.#nextMs = Math.min(this.#nextMs, next.getTime());
    }
  }
}
