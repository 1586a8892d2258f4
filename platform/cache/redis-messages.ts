import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@redis/client";
import type { Logger } from "../telemetry/logger.ts";
import { clientOptions } from "./redis-link.ts";

export interface MessagesOptions {
  readonly urls: readonly string[];
  readonly ca: string | undefined;
  readonly log: Logger;
  /** How long somebody who subscribes waits for the server. */
  readonly callTimeoutMs: number;
}

type Heard = (message: unknown) => void;
type Client = ReturnType<typeof createClient>;

const retryMs = 100;
const retryMsMax = 2_000;
const startMsMax = 2_000;
/** A connection that lasts shorter is none: the waits between tries go on growing. */
const steadyMs = 5_000;
const pingMs = 1_000;
const silentMsMax = 4_000;

/**
 * What this process listens to, over a connection of its own to one of the servers (a cluster carries messages to all of its nodes). A lost
 * connection is opened again, to the next server, and all channels with it; what was said meanwhile is lost.
 */
export class RedisMessages {
  readonly #options: MessagesOptions;
  readonly #channels = new Map<string, Set<{ readonly heard: Heard }>>();
  readonly #stopping = new AbortController();
  #client: Client | undefined;
  #opening: Client | undefined;
  #keeping: Promise<void> | undefined;
  #end = Promise.withResolvers<void>();

  constructor(options: MessagesOptions) {
    this.#options = options;
  }

  /** Resolves when messages are heard, or when the server is away. */
  async start(): Promise<void> {
    if (this.#keeping !== undefined || this.#stopping.signal.aborted) return;
    const first = Promise.withResolvers<void>();
    this.#keeping = this.#keep(first.resolve);
    await this.#within(first.promise, startMsMax);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#end.resolve();
    this.#client = undefined;
    this.#opening?.destroy();
    await this.#keeping;
  }

  async subscribe(channel: string, heard: Heard): Promise<() => Promise<void>> {
    const listener = { heard };
    let listeners = this.#channels.get(channel);
    if (listeners === undefined) this.#channels.set(channel, (listeners = new Set()));
    listeners.add(listener);
    if (this.#client !== undefined) await this.#within(this.#listen(this.#client, channel), this.#options.callTimeoutMs);
    return async () => {
      const current = this.#channels.get(channel);
      if (current?.delete(listener) !== true || current.size > 0) return;
      this.#channels.delete(channel);
      const client = this.#client;
      if (client !== undefined)
        await this.#within(client.unsubscribe(channel, this.#received).catch(this.#failed(client)), this.#options.callTimeoutMs);
    };
  }

  /** Gives a message to those in this process who listen. */
  deliver(channel: string, message: unknown): void {
    for (const listener of this.#channels.get(channel) ?? [])
      try {
        listener.heard(message);
      } catch (error) {
        this.#options.log.error({ error, channel }, "a listener failed");
      }
  }

  readonly #received = (text: string, channel: string): void => this.deliver(channel, JSON.parse(text));

  /** The same function each time: the client calls it once for a message, however often it was subscribed. */
  async #listen(client: Client, channel: string): Promise<void> {
    await client.subscribe(channel, this.#received).catch(this.#failed(client));
  }

  /** A connection on which a command failed is given up; `#keep` opens the next. */
  #failed(client: Client): () => void {
    return () => {
      if (client === this.#client) this.#end.resolve();
    };
  }

  async #keep(tried: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0, tries = 0; !signal.aborted; failures++, tries++) {
      const url = this.#options.urls[tries % this.#options.urls.length]!;
      const end = (this.#end = Promise.withResolvers());
      const { socket, ...options } = clientOptions(url, this.#options.ca);
      const client = createClient({ ...options, pingInterval: pingMs, socket: { ...socket, socketTimeout: silentMsMax } });
      client.on("error", () => end.resolve());
      this.#opening = client;
      try {
        await client.connect();
        const upSinceMs = performance.now();
        this.#client = client;
        await Promise.all(Array.from(this.#channels.keys(), (channel) => this.#listen(client, channel)));
        tried();
        if (!signal.aborted) await end.promise;
        if (performance.now() - upSinceMs > steadyMs) failures = 0;
      } catch (error) {
        this.#options.log.debug({ error }, "messages are not heard: Redis is away");
        tried();
      }
      this.#client = undefined;
      client.destroy();
      const mostMs = Math.min(retryMs * 2 ** Math.min(failures, 10), retryMsMax);
      // A pause that is ended early is no error.
      if (!signal.aborted) await pause(mostMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  async #within(work: Promise<void>, ms: number): Promise<void> {
    const enough = new AbortController();
    // A pause that is ended early is no error.
    await Promise.race([work, pause(ms, undefined, { signal: enough.signal }).catch(() => undefined)]);
    enough.abort();
  }
}
