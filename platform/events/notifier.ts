import { performance } from "node:perf_hooks";
import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Waker } from "../changes/waker.ts";

export interface NotifierNeeds {
  readonly database: Database;
  readonly channel: string;
  /** The least time between two notifications, in milliseconds. */
  readonly notifyMs: number;
  readonly log: Logger;
}

/** Sends notifications with a pause between: calls during the pause share the next one. */
export class Notifier {
  readonly #needs: NotifierNeeds;
  readonly #waker = new Waker();
  #sending: Promise<void> | undefined;
  /** What the next notification says: absent when nothing is to be sent. */
  #next: string | undefined;

  constructor(needs: NotifierNeeds) {
    this.#needs = needs;
  }

  /** Never throws, never waits. `payload` gets that of the notification that waits to be sent, which it replaces. */
  send(payload: (waiting: string | undefined) => string): void {
    this.#next = payload(this.#next);
    this.#sending ??= outsideTransaction(() => this.#run());
  }

  /** Sends without a pause what is still unsent. */
  async close(): Promise<void> {
    this.#waker.close();
    await this.#sending;
  }

  async #run(): Promise<void> {
    const { database, channel, notifyMs, log } = this.#needs;
    for (let payload = this.#next; payload !== undefined; payload = this.#next) {
      this.#next = undefined;
      const sentMs = performance.now();
      try {
        await database.notify(channel, payload);
      } catch (error) {
        log.warn({ error, database: database.name }, "readers in other processes could not be notified, they read at their next poll");
      }
      await this.#waker.pause(Math.ceil(notifyMs - (performance.now() - sentMs)));
    }
    this.#sending = undefined;
  }
}
