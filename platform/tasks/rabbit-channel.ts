import type { Channel, Connection } from "rabbitmq-client";
import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import { within } from "../retry/within.ts";

/** A channel that is open, until `closed` resolves. */
export interface OpenChannel {
  readonly channel: Channel;
  readonly closed: Promise<void>;
}

interface Needs {
  readonly connection: Connection;
  readonly log: Logger;
  /** Its name in the log. */
  readonly purpose: string;
  /** Runs at each opening. When it throws, opening is retried after a pause. */
  readonly setUp: (channel: Channel) => Promise<void>;
  /** Called when it is open. */
  readonly opened?: () => void;
}

const backoff = { pauseMsMin: 100, pauseMsMax: 2_000 };
const closeMs = 1_000;

/** A channel that is opened again whenever it closes, with all that its `setUp` does. */
export class ReopeningChannel {
  readonly #needs: Needs;
  readonly #first = Promise.withResolvers<void>();
  #current: OpenChannel | undefined;
  #loop: Promise<void> | undefined;
  #stopping = false;
  #interrupt = Promise.withResolvers<void>();

  constructor(needs: Needs) {
    this.#needs = needs;
  }

  /** Undefined while it is closed. */
  get current(): OpenChannel | undefined {
    return this.#current;
  }

  /** Resolves when it is open for the first time. */
  start(): Promise<void> {
    this.#loop ??= this.#keepOpen();
    return this.#first.promise;
  }

  /** Closes it, to be opened again: what was delivered and not acknowledged goes back to its queue. */
  reopen(): void {
    this.#interrupt.resolve();
  }

  /** Resolves when it is closed, after all frames have been sent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#interrupt.resolve();
    await this.#loop;
  }

  async #keepOpen(): Promise<void> {
    const { connection, log, purpose } = this.#needs;
    for (let failures = 0; !this.#stopping;) {
      this.#interrupt = Promise.withResolvers();
      try {
        await this.#openOnce();
        failures = 0;
      } catch (error) {
        // A lost connection is logged by itself.
        if (connection.ready && ++failures === 1) log.warn({ error, channel: purpose }, "a channel of RabbitMQ could not be set up");
      }
      if (!this.#stopping) await within(backoffMs(backoff, failures + 1), this.#interrupt.promise);
    }
  }

  async #openOnce(): Promise<void> {
    const { connection, log, purpose, setUp, opened } = this.#needs;
    const channel = await connection.acquire({ emitErrorsFromChannel: true });
    const closed = Promise.withResolvers<void>();
    channel.on("close", closed.resolve);
    channel.on("basic.cancel", () => closed.resolve());
    channel.on("error", (error: unknown) => {
      if (connection.ready) log.warn({ error, channel: purpose }, "RabbitMQ closed a channel");
    });
    try {
      await setUp(channel);
      this.#current = { channel, closed: closed.promise };
      this.#first.resolve();
      opened?.();
      await Promise.race([closed.promise, this.#interrupt.promise]);
    } finally {
      this.#current = undefined;
      const closing = channel.close();
      if (this.#stopping) await within(closeMs, closing); // the driver waits without limit when the connection ends meanwhile
    }
  }
}
