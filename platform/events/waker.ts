/** Lets one loop wait for signals that others give, without losing one that comes while it is busy. */
export class Waker {
  #raised = false;
  #closed = false;
  #wake: ((signal: boolean) => void) | undefined;

  /** Ends the wait under way, or the next one. */
  raise(): void {
    this.#raised = true;
    this.#wake?.(true);
  }

  /** Forgets a signal: what it tells of is about to be looked at. */
  lower(): void {
    this.#raised = false;
  }

  /** Ends every wait and pause, for good. */
  close(): void {
    this.#closed = true;
    this.#wake?.(false);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Until a signal comes (it is used up), `ms` have passed, or it is closed. */
  async wait(ms: number): Promise<void> {
    if (!this.#raised) await this.#sleep(ms, true);
    this.#raised = false;
  }

  /** Until `ms` have passed or it is closed; signals are kept for later. */
  async pause(ms: number): Promise<void> {
    if (ms > 0) await this.#sleep(ms, false);
  }

  #sleep(ms: number, endedBySignal: boolean): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (signal: boolean) => {
        if (signal && !endedBySignal) return;
        clearTimeout(timer);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(wake, ms, false);
      this.#wake = wake;
    });
  }
}
