import { performance } from "node:perf_hooks";

export interface BreakerOptions {
  /** How many calls must have failed, at least: 5. */
  readonly failuresMin: number;
  /** Out of those of so many milliseconds: 2,000. */
  readonly windowMs: number;
  /** What share of the calls must have failed: 0.5. */
  readonly share: number;
  /** How long no call is let through, the first time: 500. It doubles with each probe that fails. */
  readonly openMs: number;
  /** 8,000. */
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
 * Keeps calls from a callee that does not answer: opens when many of the last calls failed, then lets one through now and then, and closes when that one
 * succeeds. Counts what `failed` and `succeeded` are told.
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

  /** Whether a call may be made now. When half-open, for one of them only until its end is told. */
  admits(): boolean {
    if (this.#state === "closed") return true;
    if (this.#options.nowMs() < this.#openUntilMs) return false;
    // The probe may never tell its end; then the next one is let through after as long again.
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
