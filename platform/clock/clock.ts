/** Business time. Leases use the database's clock instead, and deadlines the monotonic one. */
export interface Clock {
  now(): Date;
  /** Resolves at `at`, or as soon as `signal` is aborted. */
  until(at: Date, signal: AbortSignal): Promise<void>;
}

const timerMsMax = 2 ** 31 - 1;

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => new Date(),
  until: async (at, signal) => {
    while (!signal.aborted) {
      const waitMs = Math.min(at.getTime() - Date.now(), timerMsMax);
      if (waitMs <= 0) return;
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", done);
          resolve();
        };
        const timer = setTimeout(done, waitMs);
        signal.addEventListener("abort", done, { once: true });
      });
    }
  },
};

/** A clock that moves only when it is moved, which resolves the waits for times up to the new one. */
export class ManualClock implements Clock {
  #nowMs: number;
  readonly #waiting = new Set<{ atMs: number; wake: () => void }>();

  constructor(start: Date) {
    this.#nowMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  advance(ms: number): void {
    this.set(new Date(this.#nowMs + ms));
  }

  set(at: Date): void {
    this.#nowMs = at.getTime();
    for (const waiter of this.#waiting) if (waiter.atMs <= this.#nowMs) waiter.wake();
  }

  until(at: Date, signal: AbortSignal): Promise<void> {
    const atMs = at.getTime();
    if (signal.aborted || atMs <= this.#nowMs) return Promise.resolve();
    return new Promise((resolve) => {
      const waiter = {
        atMs,
        wake: () => {
          this.#waiting.delete(waiter);
          signal.removeEventListener("abort", waiter.wake);
          resolve();
        },
      };
      this.#waiting.add(waiter);
      signal.addEventListener("abort", waiter.wake, { once: true });
    });
  }
}
