import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { openRedisClient, redisHosts, retryDelayMs } from "../redis/redis-client.ts";
import type { RedisClient } from "../redis/redis-client.ts";
import { runScript } from "../redis/redis-script.ts";
import type { RedisScript } from "../redis/redis-script.ts";
import type { Logger } from "../telemetry/logger.ts";
import { OutageLog } from "../telemetry/outage-log.ts";
import { PendingCalls, unavailable } from "./pending-calls.ts";

export interface CacheConnectionOptions {
  readonly urls: readonly string[];
  readonly ca: string | undefined;
  readonly log: Logger;
  /** How long a call may take before Redis is suspect. */
  readonly callTimeoutMs: number;
  /** Makes everything unusable that was stored before; called each time before Redis is used (again). */
  readonly invalidate: (client: RedisClient) => Promise<unknown>;
}

const heartbeatMs = 250;
const startMsMax = 2_000;
/** A connection that lasts shorter counts as a failure: the waits between attempts go on growing. */
const stableMs = 5_000;
/** How much later than this process a busy one may detect that Redis is unreachable, on top of a heartbeat. */
const busyMs = 150;

/**
 * The cache's connection to Redis, or to all masters of a cluster: up, suspect or unreachable. It is up as a whole or not at all: when the
 * connection to one server is lost, all are closed and opened again.
 *
 * A late reply makes Redis suspect; while it is, reads end at once. A PING whose reply is in time ends the suspicion: a busy machine is no
 * outage. When none is for ten times a call's time, or at the first error, Redis is unreachable: all calls end at once, until an invalidation
 * had its reply in time. Invalidations, PINGs and new connections are made in the background, so no caller waits for them.
 *
 * **Why a lost `delete` leaves no old value behind.** A value is used only when it carries the epoch that its key's tag has in Redis, and
 * a process that connects (again) first changes all epochs, for everybody. So
 * - a process whose `delete` did not get through uses nothing again that was stored before, and no other process does once it is connected. It need
 *   not remember keys, and may die: the process that replaces it changes the epochs as well, as any that starts.
 * - when Redis was unreachable for all processes (killed, frozen, slow, failed over to a replica that had not got the `delete`), each detects
 *   it by its PINGs, also one without traffic. A `delete` waits while Redis is suspect (what was sent to a frozen server still happens when
 *   that continues), and when it did not get through, until all have detected the outage or the epochs are changed. So a caller whose change is
 *   confirmed reads no older value from anywhere. That takes a second or two, once per outage; later in it a `delete` ends at once.
 * - when only one process has lost Redis, the others use what it could not delete until it is connected again or another process deletes it
 *   because of the change's event, and for the value's time to live at most.
 * The price is a cold cache after each start and each outage; values in it are copies, and the first to read loads them again.
 */
export class CacheConnection {
  readonly #options: CacheConnectionOptions;
  readonly #calls: PendingCalls;
  readonly #outage: OutageLog;
  readonly #servers: string;
  readonly #stopping = new AbortController();
  #client: RedisClient | undefined;
  #up = false;
  #detected = Promise.withResolvers<void>();
  #detectedTimer: NodeJS.Timeout | undefined;
  #lost = Promise.withResolvers<unknown>();
  #connecting: Promise<void> | undefined;

  constructor(options: CacheConnectionOptions) {
    this.#options = options;
    this.#servers = redisHosts(options.urls);
    this.#outage = new OutageLog({
      log: options.log,
      unreachable: "Redis is unreachable: the cache works without it until it is connected again",
      reachable: "Redis is connected again",
    });
    this.#calls = new PendingCalls({
      callTimeoutMs: options.callTimeoutMs,
      ping: () => this.#client?.ping(),
      lost: (error) => this.#lose(error),
    });
    this.#detected.resolve();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Resolves when Redis is up, or has been found to be unreachable. */
  async start(): Promise<void> {
    if (this.#connecting !== undefined || this.#stopping.signal.aborted) return;
    this.#setUnreachable();
    const first = Promise.withResolvers<void>();
    this.#connecting = this.#keepConnected(first.resolve);
    const waited = new AbortController();
    // A pause that is ended early is no error.
    await Promise.race([first.promise, pause(startMsMax, undefined, { signal: waited.signal }).catch(() => undefined)]);
    waited.abort();
    if (!this.#up) this.#logUnreachable(new Error(`not connected after ${startMsMax} ms`));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#setUnreachable();
    this.#lost.resolve(undefined);
    this.#client?.destroy();
    await this.#connecting;
  }

  /** Sends a command to the server that has `key`; returns the reply, or `unavailable`. Does not reject. */
  call(key: string, args: readonly string[], { waitsWhileSuspect = false } = {}): Promise<unknown> {
    const client = this.#usable(waitsWhileSuspect);
    return client === undefined ? unavailableReply : this.#replyOf(client.send(key, args), client, waitsWhileSuspect);
  }

  /** The same with a script. */
  run(script: RedisScript, keys: readonly string[], args: readonly string[], { waitsWhileSuspect = false } = {}): Promise<unknown> {
    const client = this.#usable(waitsWhileSuspect);
    return client === undefined ? unavailableReply : this.#replyOf(runScript(client.send, script, keys, args), client, waitsWhileSuspect);
  }

  /** Resolves when no process uses any more what was stored before the connection was lost: see above. */
  async invalidated(): Promise<void> {
    if (!this.#up) await this.#detected.promise;
  }

  #usable(waitsWhileSuspect: boolean): RedisClient | undefined {
    return this.#up && (waitsWhileSuspect || !this.#calls.suspect) ? this.#client : undefined;
  }

  async #replyOf(reply: Promise<unknown>, client: RedisClient, waitsWhileSuspect: boolean): Promise<unknown> {
    try {
      return await this.#calls.replyOf(reply, waitsWhileSuspect);
    } catch (error) {
      this.#lose(error, client);
      return unavailable;
    }
  }

  /** `broken` is a client of no more use; one that is only slow stays open, so that what was sent on it still happens. */
  #lose(error: unknown, broken?: RedisClient): void {
    if (broken !== undefined) {
      if (broken !== this.#client) return;
      this.#client = undefined;
      broken.destroy();
    }
    if (!this.#up) return;
    this.#setUnreachable();
    this.#logUnreachable(error);
    this.#lost.resolve(error);
  }

  #setUnreachable(): void {
    this.#up = false;
    this.#calls.end();
    clearTimeout(this.#detectedTimer);
    this.#detected.resolve();
    this.#detected = Promise.withResolvers();
    if (this.#stopping.signal.aborted) this.#detected.resolve();
    else this.#detectedTimer = setTimeout(this.#detected.resolve, heartbeatMs + busyMs);
  }

  #setUp(): void {
    this.#up = true;
    this.#lost = Promise.withResolvers();
    clearTimeout(this.#detectedTimer);
    this.#detected.resolve();
    this.#outage.reachable(this.#servers);
  }

  #logUnreachable(error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#outage.unreachable(this.#servers, error);
  }

  async #keepConnected(tried: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#connect();
        tried();
        const upSinceMs = performance.now();
        await this.#untilLost();
        failures = performance.now() - upSinceMs > stableMs ? 0 : failures + 1;
      } catch (error) {
        failures++;
        this.#logUnreachable(error);
        tried();
      }
      // A pause that is ended early is no error.
      if (!signal.aborted) await pause(retryDelayMs(failures), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when Redis is up. Rejects when it does not respond, or not in time. */
  async #connect(): Promise<void> {
    const client = (this.#client ??= await this.#open());
    const sentMs = performance.now();
    try {
      await this.#options.invalidate(client);
    } catch (error) {
      this.#lose(error, client);
      throw error;
    }
    if (client !== this.#client) throw new Error("the connection was lost");
    const tookMs = performance.now() - sentMs;
    if (tookMs > this.#options.callTimeoutMs) throw new Error(`a reply took ${Math.round(tookMs)} ms`);
    this.#setUp();
  }

  async #open(): Promise<RedisClient> {
    const { urls, ca } = this.#options;
    const { signal } = this.#stopping;
    const errors: Error[] = [];
    let opened = false;
    const client = openRedisClient({
      urls,
      ca,
      reconnect: false,
      discoveryTimeoutMs: startMsMax,
      failed: (_, error) => {
        if (opened) this.#lose(error, client);
        else errors.push(error);
      },
    });
    const stop = (): void => client.destroy();
    signal.addEventListener("abort", stop);
    try {
      await client.connect();
      // Connects to each master, so that only its replies are timed afterwards.
      await client.ping();
      opened = true;
      return client;
    } catch (error) {
      client.destroy();
      throw urls.length === 1 ? error : new AggregateError(errors.slice(-3), "no node of the cluster responds", { cause: error });
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  async #untilLost(): Promise<void> {
    const heartbeat = setInterval(() => this.#calls.ping(), heartbeatMs);
    try {
      await this.#lost.promise;
    } finally {
      clearInterval(heartbeat);
    }
  }
}

const unavailableReply = Promise.resolve(unavailable);
