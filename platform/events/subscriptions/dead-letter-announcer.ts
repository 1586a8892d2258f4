import type { Database } from "../../database/database.ts";
import { backoffMs } from "../../retry/backoff.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { untilAborted } from "../until-aborted.ts";
import { Waker } from "../../changes/waker.ts";
import { recordAnnounced, unannouncedDeadLetters } from "./dead-letter-store.ts";
import type { DeadLetter } from "./dead-letter-store.ts";

const batchMax = 100;
const pollMs = 60_000;
const stopMs = 1_500;
const backoff = { pauseMsMin: 200, pauseMsMax: 10_000 };

export interface DeadLetterAnnouncerNeeds {
  readonly service: string;
  readonly database: Database;
  readonly log: Logger;
  readonly announce: (letters: readonly DeadLetter[]) => Promise<void>;
}

/** Announces the parked events of one service as dead letters: at least once each, also after a crash or an outage of the broker. */
export class DeadLetterAnnouncer {
  readonly #needs: DeadLetterAnnouncerNeeds;
  readonly #waker = new Waker();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;

  constructor(needs: DeadLetterAnnouncerNeeds) {
    this.#needs = needs;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Called when an event was parked, or its attempts are used up. */
  wake(): void {
    this.#waker.raise();
  }

  /** Ends after the announcement under way, at most `stopMs` later: what could not be announced then is announced after the next start. */
  async stop(): Promise<void> {
    this.#waker.close();
    const deadline = setTimeout(() => this.#stopping.abort(), stopMs);
    await this.#running;
    clearTimeout(deadline);
  }

  async #run(): Promise<void> {
    const { service, log } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      try {
        const more = await this.#round();
        failures = 0;
        if (!more) await this.#waker.wait(pollMs);
      } catch (error) {
        if (this.#waker.closed) break;
        if (++failures === 1) log.warn({ error, service }, "dead letters could not be announced, it is tried until it succeeds");
        await this.#waker.pause(backoffMs(backoff, failures));
      }
    }
  }

  async #round(): Promise<boolean> {
    const { database, announce } = this.#needs;
    const letters = await unannouncedDeadLetters(database, batchMax);
    if (letters.length === 0) return false;
    await untilAborted(announce(letters), this.#stopping.signal);
    await recordAnnounced(database, letters);
    return letters.length === batchMax;
  }
}
