import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Retention } from "./retention.ts";
import { hourMs } from "./retention.ts";
import { sweep } from "./sweep.ts";

export interface SweeperNeeds {
  readonly database: Database;
  readonly retentions: readonly Retention[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Sweeps a database without tasks, which one process uses: at the start and every hour. */
export class Sweeper {
  readonly #needs: SweeperNeeds;
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(needs: SweeperNeeds) {
    this.#needs = needs;
  }

  /** Again is fine. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Waits for the round under way. Again is fine. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { database, retentions, clock, log } = this.#needs;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const more = await sweep(database, retentions, clock.now(), (error) => log.warn({ error }, error.message));
      if (!more) await clock.until(new Date(clock.now().getTime() + hourMs), signal);
    }
  }
}
