import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@redis/client";
import { nodeOptions, retryDelayMs } from "../redis/redis-client.ts";
import type { Logger } from "../telemetry/logger.ts";

export interface SubscriberOptions {
  readonly urls: readonly string[];
  readonly ca: string | undefined;
  readonly log: Logger;
  /** How long `subscribe` and its end wait for the server. */
  readonly callTimeoutMs: number;
}

type Listener = (message: unknown) => void;
type Client = ReturnType<typeof createClient>;

const startMsMax = 2_000;
/** A connection that lasts shorter counts as a failure: the waits between attempts go on growing. */
const stableMs = 5_000;

/**
 * This process's subscriptions, over a connection of their own to one of the servers (a cluster forwards messages to all of its nodes). A lost
 * connection is opened again, to the next server, and all channels are subscribed again; messages published meanwhile are lost.
 */
export class RedisSubscriber {
  readonly #options: SubscriberOptions;
  readonly #channels = new Map<string, Set<{ readonly listener: Listener }>>();
  readonly #stopping = new AbortController();
  #client: Client | undefined;
  #opening: Client | undefined;
  #connecting: Promise<void> | undefined;
  #end = Promise.withResolvers<void>();

  constructor(options: SubscriberOptions) {
    this.#options = options;
  }

  /** Resolves when messages are received, or when the server was found to be unreachable. */
  async start(): Promise<void> {
    if (this.#connecting !== undefined || this.#stopping.signal.aborted) return;
    const first = Promise.withResolvers<void>();
    this.#connecting = this.#keepConnected(first.resolve);
    await this.#within(first.promise, startMsMax);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#end.resolve();
    this.#client = undefined;
    this.#opening?.destroy();
    await this.#connecting;
  }

  async subscribe(channel: string, listener: Listener): Promise<() => Promise<void>> {
    // An object of its own, so that the same function may subscribe twice.
    const subscription = { listener };
    let listeners = this.#channels.get(channel);
    if (listeners === undefined) this.#channels.set(channel, (listeners = new Set()));
    listeners.add(subscription);
    if (this.#client !== undefined) await this.#within(this.#subscribe(this.#client, channel), this.#options.callTimeoutMs);
    return async () => {
      const current = this.#channels.get(channel);
      if (current?.delete(subscription) !== true || current.size > 0) return;
      this.#channels.delete(channel);
      const client = this.#client;
      if (client !== undefined)
        await this.#within(client.unsubscribe(channel, this.#received).catch(this.#failed(client)), this.#options.callTimeoutMs);
    };
  }

  /** Passes a message to this process's listeners. */
  deliver(channel: string, message: unknown): void {
    for (const { listener } of this.#channels.get(channel) ?? [])
      try {
        listener(message);
      } catch (error) {
        this.#options.log.error({ error, channel }, "a listener of a cache channel failed");
      }
  }

  readonly #received = (text: string, channel: string): void => this.deliver(channel, JSON.parse(text));

  /** With the same function each time: the client calls it once per message, however often it was subscribed. */
  async #subscribe(client: Client, channel: string): Promise<void> {
    await client.subscribe(channel, this.#received).catch(this.#failed(client));
  }

  /** A connection on which a command failed is closed; `#keepConnected` opens the next. */
  #failed(client: Client): () => void {
    return () => {
      if (client === this.#client) this.#end.resolve();
    };
  }

  async #keepConnected(tried: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0, tries = 0; !signal.aborted; failures++, tries++) {
      const url = this.#options.urls[tries % this.#options.urls.length]!;
      const end = (this.#end = Promise.withResolvers());
      const client = createClient(nodeOptions(url, { ca: this.#options.ca, reconnect: false }));
      client.on("error", () => end.resolve());
      this.#opening = client;
      try {
        await client.connect();
        const upSinceMs = performance.now();
        this.#client = client;
        await Promise.all(Array.from(this.#channels.keys(), (channel) => this.#subscribe(client, channel)));
        tried();
        if (!signal.aborted) await end.promise;
        if (performance.now() - upSinceMs > stableMs) failures = 0;
      } catch (error) {
        this.#options.log.debug({ error }, "cache messages are not received: Redis is unreachable");
        tried();
      }
      this.#client = undefined;
      client.destroy();
      // A pause that is ended early is no error.
      if (!signal.aborted) await pause(retryDelayMs(failures), undefined, { signal }).catch(() => undefined);
    }
  }

  async #within(work: Promise<void>, ms: number): Promise<void> {
    const enough = new AbortController();
    // A pause that is ended early is no error.
    await Promise.race([work, pause(ms, undefined, { signal: enough.signal }).catch(() => undefined)]);
    enough.abort();
  }
}
