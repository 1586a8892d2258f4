import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Logger } from "../telemetry/logger.ts";

/** The channel that workers listen on. */
export const taskChannel = "tasks";
const notifyEveryMs = 20;

/** Notifies the workers of other processes on the same database of due tasks that this one does not take, at most every 20 ms. */
export class TaskWakeups {
  readonly #database: Database;
  readonly #log: Logger;
  readonly #self: string;
  #lastMs = -Infinity;
  #timer: NodeJS.Timeout | undefined;
  #unlisten: (() => Promise<void>) | undefined;

  /** `self` identifies this process, so that it ignores its own notifications. */
  constructor(needs: { readonly database: Database; readonly log: Logger; readonly self: string }) {
    this.#database = needs.database;
    this.#log = needs.log;
    this.#self = needs.self;
  }

  async start(notified: () => void): Promise<void> {
    this.#unlisten = await this.#database.listen(taskChannel, (payload) => {
      if (payload !== this.#self) notified();
    });
  }

  /** Sends what is still unsent. */
  async stop(): Promise<void> {
    const unsent = this.#timer !== undefined;
    clearTimeout(this.#timer);
    if (unsent) await this.#notify();
    const unlisten = this.#unlisten;
    this.#unlisten = undefined;
    await unlisten?.();
  }

  /** May be called inside a transaction's hook: what it sends is sent outside. */
  send(): void {
    if (this.#timer !== undefined) return;
    const waitMs = Math.max(0, this.#lastMs + notifyEveryMs - performance.now());
    this.#timer = outsideTransaction(() => setTimeout(() => void this.#notify(), waitMs));
  }

  async #notify(): Promise<void> {
    this.#timer = undefined;
    this.#lastMs = performance.now();
    try {
      await this.#database.notify(taskChannel, this.#self);
    } catch (error) {
      this.#log.warn({ error }, "other workers could not be woken; they poll within seconds");
    }
  }
}
