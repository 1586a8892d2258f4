import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import { databaseError } from "./statement-error.ts";
import type { Wire } from "./wire.ts";

export type Heard = (payload: string | undefined) => void;

/** A connection to listen on, its own or one that is used for other things as well. */
export interface Ear {
  readonly wire: Wire;
  /** It is not needed any more, or is lost. Again is fine. */
  end(): Promise<void>;
}

export interface ListenerOptions {
  readonly database: string;
  readonly open: () => Promise<Ear>;
  readonly log: Logger;
}

/** The longest pause is how late notifications come back after an outage, at most. */
const backoff = { pauseMsMin: 50, pauseMsMax: 1_000 };

/** A database's one listening connection, open while somebody listens. Comes back by itself after a loss. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #channels = new Map<string, Set<Heard>>();
  #ear: Promise<Ear> | undefined;
  /** Those that tell us already. */
  readonly #told = new WeakSet<Wire>();
  #retry: NodeJS.Timeout | undefined;
  /** Whether there was a loss that the hearers have not been told of. */
  #missed = false;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Listens from when it resolves until what it gives is called. Refuses when the database is away. */
  async listen(channel: string, heard: Heard): Promise<() => Promise<void>> {
    this.#stopped = false;
    let hearers = this.#channels.get(channel);
    const known = hearers !== undefined;
    if (hearers === undefined) this.#channels.set(channel, (hearers = new Set()));
    // One function may listen twice; each has its own end.
    const hearer: Heard = (payload) => heard(payload);
    hearers.add(hearer);
    const unlisten = () => this.#unlisten(channel, hearer);
    try {
      const listening = this.#ear !== undefined;
      const { wire } = await (this.#ear ??= this.#connect());
      // A connection that was made just now listens to all channels already. A second hearer waits for the first one's statement.
      if (listening) await wire.script(known ? "" : `listen ${quoted(channel)}`);
    } catch (error) {
      await unlisten();
      throw databaseError(error, this.#options.database);
    }
    return unlisten;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#channels.clear();
    await this.#disconnect();
  }

  async #unlisten(channel: string, hearer: Heard): Promise<void> {
    const hearers = this.#channels.get(channel);
    if (hearers === undefined || !hearers.delete(hearer) || hearers.size > 0) return;
    this.#channels.delete(channel);
    if (this.#channels.size === 0) return this.#disconnect();
    const [settled] = await Promise.allSettled([this.#ear]);
    // When the connection is lost there is nothing to take back.
    if (settled.status === "fulfilled" && settled.value?.wire.usable === true && !this.#channels.has(channel))
      await settled.value.wire.script(`unlisten ${quoted(channel)}`);
  }

  async #disconnect(): Promise<void> {
    clearTimeout(this.#retry);
    const [settled] = await Promise.allSettled([this.#ear]);
    if (settled.status !== "fulfilled" || settled.value === undefined || this.#channels.size > 0) return;
    this.#ear = undefined;
    await settled.value.end();
  }

  async #connect(): Promise<Ear> {
    let ear: Ear | undefined;
    try {
      ear = await this.#options.open();
      if (!this.#told.has(ear.wire)) ear.wire.onNotification((channel, payload) => this.#tell(channel, payload));
      this.#told.add(ear.wire);
      await ear.wire.script([...this.#channels.keys()].map((channel) => `listen ${quoted(channel)}`).join(";"));
    } catch (error) {
      this.#ear = undefined;
      await ear?.end();
      throw error;
    }
    const open = ear;
    void open.wire.closed.then(() => this.#lost(open));
    if (this.#missed) {
      this.#options.log.info({ database: this.#options.database }, "the listening connection is open again");
      for (const channel of this.#channels.keys()) this.#tell(channel, undefined);
    }
    this.#missed = false;
    return open;
  }

  async #lost(ear: Ear): Promise<void> {
    const [current] = await Promise.allSettled([this.#ear]);
    if (current.status !== "fulfilled" || current.value !== ear) return;
    const { log, database } = this.#options;
    this.#ear = undefined;
    this.#missed = true;
    await ear.end();
    log.warn({ database }, "the listening connection was lost");
    this.#reconnect(1);
  }

  #reconnect(failures: number): void {
    this.#retry = setTimeout(
      () => {
        if (this.#stopped || this.#channels.size === 0 || this.#ear !== undefined) return;
        this.#ear = this.#connect();
        this.#ear.catch((error: unknown) => {
          // That it was lost has been said.
          this.#options.log.debug({ database: this.#options.database, error }, "the listening connection could not be opened again");
          this.#reconnect(failures + 1);
        });
      },
      backoffMs(backoff, failures),
    ).unref();
  }

  #tell(channel: string, payload: string | undefined): void {
    for (const hearer of this.#channels.get(channel) ?? [])
      try {
        hearer(payload);
      } catch (error) {
        this.#options.log.error({ database: this.#options.database, channel, error }, "a listener failed");
      }
  }
}

function quoted(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`;
}
