import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";

/** A wait that ends at a time of the monotonic clock. */
export interface Pending {
  readonly deadlineMs: number;
  readonly expire: (error: Error) => void;
}

const sweepMs = 10;

/** Ends many waits at their deadlines with one timer, because a timer for each call costs more than most calls. */
export class Deadlines {
  readonly #pending = new Set<Pending>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * The result of `work`, or `DEADLINE_EXCEEDED` when it has not ended at `deadlineMs` (monotonic, at most 10 ms late).
   * The work goes on after that; its result is dropped.
   */
  within<T>(deadlineMs: number, work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const pending: Pending = { deadlineMs, expire: reject };
      this.watch(pending);
      work.then(
        (value) => {
          this.#pending.delete(pending);
          resolve(value);
        },
        (error: unknown) => {
          this.#pending.delete(pending);
          reject(error);
        },
      );
    });
  }

  /** Calls `expire` with `DEADLINE_EXCEEDED` at its deadline (at most 10 ms late), unless `forget` comes first. */
  watch(pending: Pending): void {
    this.#pending.add(pending);
    if (this.#timer === undefined) this.#timer = setTimeout(this.#sweep, sweepMs);
  }

  forget(pending: Pending): void {
    this.#pending.delete(pending);
  }

  readonly #sweep = (): void => {
    const nowMs = performance.now();
    for (const pending of this.#pending)
      if (pending.deadlineMs <= nowMs) {
        this.#pending.delete(pending);
        pending.expire(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" }));
      }
    // Without waits there is no timer, so that an idle process can exit.
    this.#timer = this.#pending.size === 0 ? undefined : setTimeout(this.#sweep, sweepMs);
  };
}
