import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { ErrorReply } from "@redis/client";
import { Refusal, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { isTls, openRedisClient, retryDelayMs } from "./redis-client.ts";
import type { RedisClient } from "./redis-client.ts";

export interface RedisConnectionOptions {
  /** One address, or several nodes of a cluster. */
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca: string | undefined;
  readonly log: Logger;
  /** How long an answer is waited for, in ms; 2,000 by default. */
  readonly timeoutMs?: number;
}

interface Waiting {
  readonly untilMs: number;
  readonly expire: (error: Error) => void;
}

const renewedAtMostEachMs = 3_000;
/** Further trouble within this time belongs to that which was told. */
const toldForMs = 8_000;
/** Answers that say "not now": nothing was done. */
const passing = /^(LOADING|BUSY|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|OOM|MISCONF|NOREPLICAS|MOVED|ASK)\b/;

/**
 * A connection to Redis that refuses with DEPENDENCY_UNAVAILABLE at once while the server is away, and after `timeoutMs` when it does not
 * answer; nothing is queued for later and nothing sent twice. It comes back by itself, after a failover in a cluster as well.
 */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  readonly #timeoutMs: number;
  readonly #stopping = new AbortController();
  /** In the order of their deadlines, because all wait for the same time: one timer serves them all. */
  readonly #waiting = new Set<Waiting>();
  /** Servers that were told to be away. */
  readonly #away = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  /** What calls use. */
  #client: RedisClient | undefined;
  /** The same, or the one that takes its place once it is connected. */
  #newest: RedisClient | undefined;
  /** Replaced ones, until what is under way on them has ended. */
  readonly #retired = new Map<RedisClient, NodeJS.Timeout>();
  #openedMs = 0;
  #lateMs = -Infinity;
  #connected = false;
  #starting: Promise<void> | undefined;
  #refused: ((error: Error) => void) | undefined;

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 2_000;
  }

  get ready(): boolean {
    return this.#connected && !this.#away.has(this.#names());
  }

  start(): Promise<void> {
    return (this.#starting ??= this.#start());
  }

  stop(): Promise<void> {
    this.#stopping.abort();
    clearTimeout(this.#timer);
    const clients = new Set([this.#client, this.#newest, ...this.#retired.keys()]);
    for (const timer of this.#retired.values()) clearTimeout(timer);
    this.#client = this.#newest = undefined;
    this.#retired.clear();
    this.#connected = false;
    for (const client of clients) client?.destroy();
    for (const { expire } of this.#waiting) expire(unavailable(new Error("stopped")));
    this.#waiting.clear();
    return Promise.resolve();
  }

  /** Sends a command to the server that has `key`. Throws what the server says when it is a fault. */
  async send(key: string, args: string[]): Promise<unknown> {
    const client = this.#client;
    if (client === undefined) throw unavailable(new Error("not started, or stopped"));
    try {
      const reply = await this.#within(client.send(key, args));
      // One server that was frozen for a moment answers on the same connection.
      if (this.#away.size > 0 && this.#options.urls.length === 1) this.#back(this.#names());
      return reply;
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if (error instanceof ErrorReply && !passing.test(error.message)) throw error;
      // We are connected to what was the master: the address may lead to another server by now.
      if (error instanceof ErrorReply && error.message.startsWith("READONLY")) this.#renew();
      throw unavailable(error);
    }
  }

  /** Rejects when it is not there in time. The work goes on; its outcome is unknown then. */
  #within<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = { untilMs: performance.now() + this.#timeoutMs, expire: reject };
      this.#waiting.add(waiting);
      this.#timer ??= setTimeout(this.#expire, this.#timeoutMs);
      work.then(
        (value) => {
          this.#waiting.delete(waiting);
          resolve(value);
        },
        (error: unknown) => {
          this.#waiting.delete(waiting);
          reject(error);
        },
      );
    });
  }

  readonly #expire = (): void => {
    this.#timer = undefined;
    const nowMs = performance.now();
    for (const waiting of this.#waiting) {
      if (waiting.untilMs > nowMs) {
        this.#timer = setTimeout(this.#expire, waiting.untilMs - nowMs + 1);
        return;
      }
      this.#waiting.delete(waiting);
      const error = new Error(`no answer within ${this.#timeoutMs} ms`);
      waiting.expire(unavailable(error));
      this.#tellLate(error);
      this.#renew();
    }
  };

  async #start(): Promise<void> {
    const tls = this.#options.urls.map((url) => isTls(url));
    if (new Set(tls).size > 1) throw new Error("either all addresses of a Redis cluster are rediss://, or none is");
    const refused = Promise.withResolvers<never>();
    this.#refused = refused.reject;
    const waited = new AbortController();
    try {
      await Promise.race([this.#open(), refused.promise, pause(this.#timeoutMs, undefined, { signal: waited.signal })]);
      if (this.#connected) await this.#check();
      else if (this.#away.size === 0) this.#tellAway(this.#names(), new Error(`no answer within ${this.#timeoutMs} ms`));
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      this.#refused = undefined;
      waited.abort();
    }
  }

  /** Says what would surprise later. */
  async #check(): Promise<void> {
    const { urls, log } = this.#options;
    // A user may lack the right, or the server be away again.
    const info = await this.send("any", ["INFO"]).then(String, (error: unknown) => {
      log.warn({ error }, "Redis does not tell how it keeps documents");
      return "";
    });
    if (urls.length === 1 && /^cluster_enabled:1/m.test(info))
      throw new Error(`Redis at ${this.#names()} is a node of a cluster: give the addresses of several of its nodes`);
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1];
    if (policy !== undefined && policy !== "noeviction")
      log.warn({ policy }, "Redis removes documents when its memory is full: set maxmemory-policy to noeviction");
    if (/^aof_enabled:0/m.test(info)) log.warn({}, "Redis forgets the last documents when it is restarted: set appendonly to yes");
  }

  /** Resolves when it is connected for the first time, or will not be used. */
  async #open(): Promise<void> {
    const { urls, ca } = this.#options;
    const alone = urls.length === 1;
    const client: RedisClient = openRedisClient({
      urls,
      ca,
      timeoutMs: this.#timeoutMs,
      // What happens to one that was replaced is no news.
      failed: (server, error) => this.#client === client && this.#failed(server ?? this.#names(), error),
      ready: (server) => this.#client === client && this.#back(server ?? this.#names()),
    });
    this.#newest = client;
    this.#openedMs = performance.now();
    // One that is replaced answers nothing, unless it is a cluster: its other nodes do.
    if (alone || this.#client === undefined) this.#use(client);
    for (let failures = 0; this.#newest === client; failures++)
      try {
        await client.connect();
        if (this.#newest !== client) return;
        this.#use(client);
        this.#connected = true;
        this.#back(this.#names());
        // Nodes that were away may have been replaced for good; those that still are will be told of again.
        this.#away.clear();
        return;
      } catch (error) {
        // A cluster none of whose nodes answers; a single client tries again by itself.
        if (this.#newest !== client) return;
        this.#failed(this.#names(), error);
        // A pause that is ended early is no error.
        await pause(retryDelayMs(failures), undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      }
  }

  #use(client: RedisClient): void {
    const old = this.#client;
    if (old === client) return;
    this.#client = client;
    this.#connected = false;
    if (old === undefined) return;
    const end = (): void => {
      this.#retired.delete(old);
      old.destroy();
    };
    this.#retired.set(old, setTimeout(end, this.#timeoutMs));
  }

  /** Begins anew: a connection to a frozen server or to one that has vanished notices nothing for as long as something is written to it. */
  #renew(): void {
    const replacing = this.#newest !== this.#client;
    if (this.#client === undefined || replacing || performance.now() - this.#openedMs < renewedAtMostEachMs) return;
    void this.#open();
  }

  #failed(server: string, error: unknown): void {
    if (this.#refused !== undefined && error instanceof ErrorReply && !passing.test(error.message))
      this.#refused(new Error(`Redis at ${server} refuses us: ${error.message}`, { cause: error }));
    else this.#tellAway(server, error);
  }

  #tellAway(server: string, error: unknown): void {
    if (this.#away.has(server) || this.#stopping.signal.aborted) return;
    this.#away.add(server);
    this.#options.log.warn({ server, error }, "Redis, which keeps the documents, is away; looking for it");
  }

  #tellLate(error: Error): void {
    if (this.#options.urls.length === 1) return this.#tellAway(this.#names(), error);
    // Nobody knows which node of a cluster it is, and so when it is back.
    const nowMs = performance.now();
    if (nowMs - this.#lateMs > toldForMs) this.#options.log.warn({ error }, "a node of the Redis that keeps the documents is away");
    this.#lateMs = nowMs;
  }

  #back(server: string): void {
    if (this.#away.delete(server)) this.#options.log.info({ server }, "Redis, which keeps the documents, is back");
  }

  #names(): string {
    return this.#options.urls.map((url) => new URL(url).host).join(", ");
  }
}

function unavailable(cause: unknown): Refusal {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The documents in Redis are away",
    retryAfterMs: 1_000,
    cause,
  });
}
