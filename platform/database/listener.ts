import type { Logger } from "../telemetry/logger.ts";
import type { ConnectionBudget, Holder, Seat } from "./budget.ts";
import { databaseError } from "./statement-error.ts";

export type Heard = (payload: string | undefined) => void;

export interface ListenerOptions {
  readonly database: string;
  readonly holder: Holder;
  readonly budget: ConnectionBudget;
  readonly log: Logger;
}

const retryMsMin = 50;
const retryMsMax = 5_000;

/** A database's one listening connection, open while somebody listens. Comes back by itself after a loss. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #channels = new Map<string, Set<Heard>>();
  #seat: Promise<Seat> | undefined;
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
      const listening = this.#seat !== undefined;
      const seat = await (this.#seat ??= this.#connect());
      // A connection that was made just now listens to all channels already. A second hearer waits for the first one's statement.
      if (listening) await seat.wire.script(known ? "" : `listen ${quoted(channel)}`);
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
    const [settled] = await Promise.allSettled([this.#seat]);
    // When the connection is lost there is nothing to take back.
    if (settled.status === "fulfilled" && settled.value?.wire.usable === true && !this.#channels.has(channel))
      await settled.value.wire.script(`unlisten ${quoted(channel)}`);
  }

  async #disconnect(): Promise<void> {
    clearTimeout(this.#retry);
    const [settled] = await Promise.allSettled([this.#seat]);
    if (settled.status !== "fulfilled" || settled.value === undefined || this.#channels.size > 0) return;
    this.#seat = undefined;
    this.#options.budget.give(settled.value, true);
    await settled.value.wire.closed;
  }

  async #connect(): Promise<Seat> {
    const { budget, holder } = this.#options;
    let seat: Seat | undefined;
    try {
      seat = await budget.take(holder, "requests", true);
      seat.wire.onNotification((channel, payload) => this.#tell(channel, payload));
      await seat.wire.script([...this.#channels.keys()].map((channel) => `listen ${quoted(channel)}`).join(";"));
    } catch (error) {
      this.#seat = undefined;
      if (seat !== undefined) budget.give(seat, true);
      throw error;
    }
    const open = seat;
    void open.wire.closed.then(() => this.#lost(open));
    if (this.#missed) for (const channel of this.#channels.keys()) this.#tell(channel, undefined);
    this.#missed = false;
    return open;
  }

  async #lost(seat: Seat): Promise<void> {
    const [current] = await Promise.allSettled([this.#seat]);
    if (current.status !== "fulfilled" || current.value !== seat) return;
    const { budget, log, database } = this.#options;
    this.#seat = undefined;
    this.#missed = true;
    budget.give(seat);
    log.warn({ database }, "the listening connection was lost");
    this.#reconnect(retryMsMin);
  }

  #reconnect(waitMs: number): void {
    this.#retry = setTimeout(() => {
      if (this.#stopped || this.#channels.size === 0 || this.#seat !== undefined) return;
      this.#seat = this.#connect();
      this.#seat.catch((error: unknown) => {
        this.#options.log.warn({ database: this.#options.database, error }, "the listening connection could not be opened again");
        this.#reconnect(Math.min(waitMs * 2, retryMsMax));
      });
    }, waitMs).unref();
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
