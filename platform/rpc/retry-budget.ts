/** Bounds retries to a share of the calls: when every call fails, retrying them all adds load to a callee that is failing under load. */
export class RetryBudget {
  readonly #share: number;
  readonly #max: number;
  #tokens: number;

  /** One retry for each `1 / share` calls; at most `max` unused ones are saved. */
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
