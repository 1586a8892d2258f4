import { performance } from "node:perf_hooks";

export interface BreakerOptions {
  /** It opens after this many failures at the earliest: 5. */
  readonly failuresMin: number;
  /** The window in which calls are counted: 2,000. */
  readonly windowMs: number;
  /** It opens when this share of the calls in the window has failed: 0.5. */
  readonly share: number;
  /** How long it stays open the first time: 500. The time doubles with each probe that fails, */
  readonly openMs: number;
  /** up to this: 8,000. */
  readonly openMsMax: number;
  /** The monotonic clock. */
  readonly nowMs: () => number;
}

export type BreakerState = "closed" | "open" | "half-open";

const defaults: BreakerOptions = {
  failuresMin: 5,
  windowMs: 2_000,
  share: 0.5,
  openMs: 500,
  openMsMax: 8_000,
  nowMs: () => performance.now(),
};

/**
 * A circuit breaker: opens when many of the last calls failed, lets a probe through from time to time, and closes when a probe succeeds. The caller
 * reports each outcome with `failed` or `succeeded`.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failures = 0;
  #calls = 0;
  #windowEndsMs = 0;
  #openUntilMs = 0;
  #openMs: number;
  #state: BreakerState = "closed";

  constructor(options: Partial<BreakerOptions> = {}) {
    this.#options = { ...defaults, ...options };
    this.#openMs = this.#options.openMs;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Whether a call may be made now. While half-open only one may, until its outcome is reported. */
  admits(): boolean {
    if (this.#state === "closed") return true;
    if (this.#options.nowMs() < this.#openUntilMs) return false;
    // A probe's outcome may never be reported; the next probe is let through after the same time.
    this.#openUntilMs = this.#options.nowMs() + this.#openMs;
    this.#state = "half-open";
    return true;
  }

  succeeded(): void {
    if (this.#state === "closed") return this.#count(false);
    this.#state = "closed";
    this.#openMs = this.#options.openMs;
    this.#windowEndsMs = 0;
  }

  failed(): void {
    if (this.#state === "closed") this.#count(true);
    else if (this.#state === "half-open") this.#open(Math.min(this.#openMs * 2, this.#options.openMsMax));
  }

  #count(failure: boolean): void {
    const nowMs = this.#options.nowMs();
    if (nowMs >= this.#windowEndsMs) {
      this.#windowEndsMs = nowMs + this.#options.windowMs;
      this.#failures = 0;
      this.#calls = 0;
    }
    this.#calls++;
    if (!failure) return;
    this.#failures++;
    const { failuresMin, share, openMs } = this.#options;
    if (this.#failures >= failuresMin && this.#failures >= this.#calls * share) this.#open(openMs);
  }

  #open(ms: number): void {
    this.#state = "open";
    this.#openMs = ms;
    this.#openUntilMs = this.#options.nowMs() + ms;
  }
}
