import type { Database } from "../../database/database.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { noteAnnounced, unannounced } from "./parked-store.ts";
import type { DeadLetter } from "./parked-store.ts";
import { Waker } from "../waker.ts";

const atOnce = 100;
const lookMs = 60_000;
const backoffMsMin = 200;
const backoffMsMax = 10_000;

export interface AnnouncerNeeds {
  readonly service: string;
  readonly database: Database;
  readonly log: Logger;
  readonly announce: (letters: readonly DeadLetter[]) => Promise<void>;
}

/** Makes the parked events of one service known as dead letters: at least once each time, also after a crash or while the broker was away. */
export class Announcer {
  readonly #needs: AnnouncerNeeds;
  readonly #waker = new Waker();
  #running: Promise<void> | undefined;

  constructor(needs: AnnouncerNeeds) {
    this.#needs = needs;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Something was parked, or given up. */
  wake(): void {
    this.#waker.raise();
  }

  async stop(): Promise<void> {
    this.#waker.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { service, log } = this.#needs;
    let failures = 0;
    while (!this.#waker.closed) {
      try {
        const more = await this.#round();
        failures = 0;
        if (!more) await this.#waker.wait(lookMs);
      } catch (error) {
        if (failures === 0) log.warn({ error, service }, "parked events could not be announced, it is tried until it works");
        await this.#waker.pause(Math.min(backoffMsMin * 2 ** failures++, backoffMsMax));
      }
    }
  }

  async #round(): Promise<boolean> {
    const { database, announce } = this.#needs;
    const letters = await unannounced(database, atOnce);
    if (letters.length === 0) return false;
    await announce(letters);
    await noteAnnounced(database, letters);
    return letters.length === atOnce;
  }
}
