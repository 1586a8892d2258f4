/** Lets one loop wait for signals, without losing one that comes while the loop is busy. */
export class Waker {
  #raised = false;
  #hurried = false;
  #closed = false;
  #wake: ((signal: boolean) => void) | undefined;
  #endPause: (() => void) | undefined;

  /** Ends the wait under way, or the next one. */
  raise(): void {
    this.#raised = true;
    this.#wake?.(true);
  }

  /** A signal that ends a pause too, the one under way or the next one. */
  hurry(): void {
    this.#hurried = true;
    this.raise();
    this.#endPause?.();
  }

  /** Clears a signal: for a loop that is about to look for what it announces. */
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

  /** Resolves at a signal (which is cleared), when the waker is closed, or after `ms`: without them it waits for as long as that takes. */
  async wait(ms?: number): Promise<void> {
    if (!this.#raised) await this.#sleep(ms, true);
    this.#raised = false;
  }

  /** Resolves after `ms`, when it is hurried, or when the waker is closed; a signal stays for the next wait. */
  async pause(ms: number): Promise<void> {
    if (ms > 0 && !this.#hurried) await this.#sleep(ms, false);
    this.#hurried = false;
  }

  #sleep(ms: number | undefined, endedBySignal: boolean): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = (signal: boolean) => {
        if (signal && !endedBySignal) return;
        clearTimeout(timer);
        this.#wake = this.#endPause = undefined;
        resolve();
      };
      const timer = ms === undefined ? undefined : setTimeout(wake, ms, false);
      this.#wake = wake;
      this.#endPause = () => wake(false);
    });
  }
}
