import { performance } from "node:perf_hooks";
import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Waker } from "./waker.ts";

export interface NotifierNeeds {
  readonly database: Database;
  readonly channel: string;
  readonly payload: string;
  /** The least time between two notifications, in milliseconds. */
  readonly notifyMs: number;
  readonly log: Logger;
}

/** Sends one notification again and again, with a pause between: calls during the pause share the next one. */
export class Notifier {
  readonly #needs: NotifierNeeds;
  readonly #waker = new Waker();
  #sending: Promise<void> | undefined;
  #again = false;

  constructor(needs: NotifierNeeds) {
    this.#needs = needs;
  }

  /** Never throws, never waits. */
  send(): void {
    if (this.#sending === undefined) this.#sending = outsideTransaction(() => this.#run());
    else this.#again = true;
  }

  /** Sends without a pause what is still unsent. */
  async close(): Promise<void> {
    this.#waker.close();
    await this.#sending;
  }

  async #run(): Promise<void> {
    const { database, channel, payload, notifyMs, log } = this.#needs;
    do {
      this.#again = false;
      const sentMs = performance.now();
      try {
        await database.notify(channel, payload);
      } catch (error) {
        log.warn({ error, database: database.name }, "readers in other processes could not be notified, they read at their next poll");
      }
      await this.#waker.pause(Math.ceil(notifyMs - (performance.now() - sentMs)));
    } while (this.#again);
    this.#sending = undefined;
  }
}
