import type { Logger } from "../telemetry/logger.ts";
import { backoffMs } from "../retry/backoff.ts";
import { databaseError } from "./statement-error.ts";
import type { WireConnection } from "./wire-connection.ts";

export type NotificationHandler = (payload: string | undefined) => void;

/** A connection that notifications arrive on, between the results of statements that run on it as well. */
export interface ListenConnection {
  readonly wire: WireConnection;
  /** Called when it is lost or no longer needed; repeating it is fine. */
  end(): Promise<void>;
}

export interface ListenerOptions {
  readonly database: string;
  readonly open: () => Promise<ListenConnection>;
  readonly log: Logger;
}

/** After an outage, notifications arrive again within the longest pause. */
const backoff = { pauseMsMin: 50, pauseMsMax: 1_000 };

/** After a statement has run this long on the connection that listens, notifications no longer wait behind it. */
const stalledMs = 200;

/** A database's one listen connection, open while there are listeners. Reconnects by itself when it is lost, or when a statement there does not end. */
export class Listener {
  readonly #options: ListenerOptions;
  readonly #channels = new Map<string, Set<NotificationHandler>>();
  #connection: Promise<ListenConnection> | undefined;
  /** Connections whose notifications are dispatched already. */
  readonly #subscribed = new WeakSet<WireConnection>();
  #retry: NodeJS.Timeout | undefined;
  /** Whether notifications may have been missed without the handlers knowing it. */
  #missed = false;
  #moving = false;
  #stopped = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  /** Listens once it has resolved, until the function that it returns is called. Refuses when the database is unreachable. */
  async listen(channel: string, notified: NotificationHandler): Promise<() => Promise<void>> {
    this.#stopped = false;
    let handlers = this.#channels.get(channel);
    const known = handlers !== undefined;
    if (handlers === undefined) this.#channels.set(channel, (handlers = new Set()));
    // One function may listen twice; each registration ends by itself.
    const handler: NotificationHandler = (payload) => notified(payload);
    handlers.add(handler);
    const unlisten = () => this.#unlisten(channel, handler);
    try {
      const listening = this.#connection !== undefined;
      const { wire } = await (this.#connection ??= this.#connect());
      // A new connection listens to all channels already. A second handler waits for the first one's statement.
      if (listening) await wire.script(known ? "" : `listen ${quoted(channel)}`);
    } catch (error) {
      await unlisten();
      throw databaseError(error, this.#options.database);
    }
    return unlisten;
  }

  /** Called about ten times a second while any connection is open. */
  tick(nowMs: number): void {
    const connecting = this.#connection;
    if (this.#moving || connecting === undefined) return;
    this.#moving = true;
    void connecting.then(
      ({ wire }) => {
        if (connecting === this.#connection && wire.usable && wire.inFlight > 0 && nowMs - wire.headSinceMs > stalledMs)
          this.#connection = this.#move(connecting);
        else this.#moving = false;
      },
      () => (this.#moving = false),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    this.#channels.clear();
    await this.#disconnect();
  }

  async #unlisten(channel: string, handler: NotificationHandler): Promise<void> {
    const handlers = this.#channels.get(channel);
    if (handlers === undefined || !handlers.delete(handler) || handlers.size > 0) return;
    this.#channels.delete(channel);
    if (this.#channels.size === 0) return this.#disconnect();
    const [settled] = await Promise.allSettled([this.#connection]);
    // The server forgets the channels of a lost connection.
    if (settled.status === "fulfilled" && settled.value?.wire.usable === true && !this.#channels.has(channel))
      await settled.value.wire.script(`unlisten ${quoted(channel)}`);
  }

  async #disconnect(): Promise<void> {
    clearTimeout(this.#retry);
    const [settled] = await Promise.allSettled([this.#connection]);
    if (settled.status !== "fulfilled" || settled.value === undefined || this.#channels.size > 0) return;
    this.#connection = undefined;
    await settled.value.end();
  }

  async #connect(): Promise<ListenConnection> {
    let connection: ListenConnection | undefined;
    try {
      connection = await this.#options.open();
      await this.#attach(connection);
    } catch (error) {
      this.#connection = undefined;
      await connection?.end();
      throw error;
    }
    if (this.#missed) {
      this.#options.log.info({ database: this.#options.database }, "the listen connection is open again");
      this.#dispatchAll();
    }
    this.#missed = false;
    return connection;
  }

  /** Listens to all channels there. */
  async #attach(connection: ListenConnection): Promise<void> {
    const { wire } = connection;
    if (!this.#subscribed.has(wire)) wire.onNotification((channel, payload) => this.#dispatch(channel, payload));
    this.#subscribed.add(wire);
    await wire.script([...this.#channels.keys()].map((channel) => `listen ${quoted(channel)}`).join(";"));
    void wire.closed.then(() => this.#lost(connection));
  }

  /** Listens on another connection, where there is one. The handlers then hear that they may have missed something. */
  async #move(connecting: Promise<ListenConnection>): Promise<ListenConnection> {
    const stalled = await connecting;
    try {
      const next = await this.#options.open();
      if (next.wire === stalled.wire) return stalled;
      await this.#attach(next);
      this.#dispatchAll();
      void stalled.end();
      return next;
    } catch (error) {
      this.#options.log.debug({ database: this.#options.database, error }, "notifications wait behind a statement");
      return stalled;
    } finally {
      this.#moving = false;
    }
  }

  async #lost(connection: ListenConnection): Promise<void> {
    const [current] = await Promise.allSettled([this.#connection]);
    if (current.status !== "fulfilled" || current.value !== connection) return;
    const { log, database } = this.#options;
    this.#connection = undefined;
    this.#missed = true;
    await connection.end();
    log.warn({ database }, "the listen connection was lost");
    this.#reconnect(1);
  }

  #reconnect(failures: number): void {
    this.#retry = setTimeout(
      () => {
        if (this.#stopped || this.#channels.size === 0 || this.#connection !== undefined) return;
        this.#connection = this.#connect();
        this.#connection.catch((error: unknown) => {
          // The loss itself has been logged.
          this.#options.log.debug({ database: this.#options.database, error }, "the listen connection could not be opened again");
          this.#reconnect(failures + 1);
        });
      },
      backoffMs(backoff, failures),
    ).unref();
  }

  #dispatchAll(): void {
    for (const channel of this.#channels.keys()) this.#dispatch(channel, undefined);
  }

  #dispatch(channel: string, payload: string | undefined): void {
    for (const handler of this.#channels.get(channel) ?? [])
      try {
        handler(payload);
      } catch (error) {
        this.#options.log.error({ database: this.#options.database, channel, error }, "a listener failed");
      }
  }
}

function quoted(channel: string): string {
  return `"${channel.replaceAll('"', '""')}"`;
}
