/** Bounds retries to a share of the calls: when everything fails, retrying everything would only make it worse. */
export class RetryBudget {
  readonly #share: number;
  readonly #max: number;
  #tokens: number;

  /** One retry for each `1 / share` calls, and `max` saved up at most. */
  constructor({ share = 0.1, max = 20 }: { readonly share?: number; readonly max?: number } = {}) {
    this.#share = share;
    this.#max = max;
    this.#tokens = max;
  }

  called(): void {
    this.#tokens = Math.min(this.#max, this.#tokens + this.#share);
  }

  /** Takes a retry out of the budget, if there is one. */
  take(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
