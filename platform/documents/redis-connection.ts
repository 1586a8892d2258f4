import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { ErrorReply } from "@redis/client";
import { Refusal, refuse } from "../errors/refusal.ts";
import { checkRedisUrls, openRedisClient, redisHosts, retryDelayMs } from "../redis/redis-client.ts";
import type { RedisClient } from "../redis/redis-client.ts";
import type { Logger } from "../telemetry/logger.ts";
import { OutageLog } from "../telemetry/outage-log.ts";

export interface RedisConnectionOptions {
  /** One address, or several nodes of a cluster. */
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca: string | undefined;
  readonly log: Logger;
  /** How long a reply may take, in ms; 2,000 by default. */
  readonly timeoutMs?: number;
}

interface PendingReply {
  readonly deadlineMs: number;
  readonly expire: (error: Error) => void;
}

const replaceMsMin = 3_000;
/** Further late replies within this time belong to the outage that was logged. */
const lateMsMax = 8_000;
/** Errors of a server that can execute nothing at the moment. */
const transient = /^(LOADING|BUSY|READONLY|CLUSTERDOWN|MASTERDOWN|TRYAGAIN|OOM|MISCONF|NOREPLICAS|MOVED|ASK)\b/;

/**
 * A connection to Redis that refuses with DEPENDENCY_UNAVAILABLE at once while the server is unreachable, and after `timeoutMs` when it does
 * not respond; nothing is queued for later and nothing sent twice. It reconnects by itself, after a failover in a cluster as well. In a cluster
 * only the documents of an unreachable node are refused.
 */
export class RedisConnection {
  readonly #options: RedisConnectionOptions;
  readonly #timeoutMs: number;
  readonly #stopping = new AbortController();
  /** In the order of their deadlines, because all wait for the same time: one timer serves them all. */
  readonly #pending = new Set<PendingReply>();
  readonly #outage: OutageLog;
  #timer: NodeJS.Timeout | undefined;
  /** What calls use. */
  #client: RedisClient | undefined;
  /** The same, or the one that replaces it once it is connected. */
  #newest: RedisClient | undefined;
  /** Replaced ones, until the replies that they wait for have come or are late. */
  readonly #retired = new Map<RedisClient, NodeJS.Timeout>();
  #openedMs = 0;
  #lateMs = -Infinity;
  #connected = false;
  #starting: Promise<void> | undefined;
  #rejected: ((error: Error) => void) | undefined;

  constructor(options: RedisConnectionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 2_000;
    this.#outage = new OutageLog({
      log: options.log,
      unreachable: "Redis, which stores the documents, is unreachable; reconnecting",
      reachable: "Redis, which stores the documents, is connected again",
    });
  }

  get ready(): boolean {
    return this.#connected && !this.#outage.has(this.#servers);
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
    for (const { expire } of this.#pending) expire(unavailable(new Error("stopped")));
    this.#pending.clear();
    return Promise.resolve();
  }

  /** Sends a command to the server that has `key`. Throws the server's error when it is a fault. */
  readonly send = async (key: string, args: readonly string[]): Promise<unknown> => {
    const client = this.#client;
    if (client === undefined) throw unavailable(new Error("not started, or stopped"));
    try {
      const reply = await this.#within(client.send(key, args));
      // One server that was frozen for a moment responds on the same connection.
      if (this.#outage.has() && this.#options.urls.length === 1) this.#outage.reachable(this.#servers);
      return reply;
    } catch (error) {
      if (error instanceof Refusal) throw error;
      if (error instanceof ErrorReply && !transient.test(error.message)) throw error;
      // This is the former master: the address may lead to another server by now.
      if (error instanceof ErrorReply && error.message.startsWith("READONLY")) this.#replaceClient();
      throw unavailable(error);
    }
  };

  /** Rejects when the reply is late. The server may execute the command later: the outcome is unknown. */
  #within<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const pending: PendingReply = { deadlineMs: performance.now() + this.#timeoutMs, expire: reject };
      this.#pending.add(pending);
      this.#timer ??= setTimeout(this.#expire, this.#timeoutMs);
      work.then(
        (value) => {
          this.#pending.delete(pending);
          resolve(value);
        },
        (error: unknown) => {
          this.#pending.delete(pending);
          reject(error);
        },
      );
    });
  }

  readonly #expire = (): void => {
    this.#timer = undefined;
    const nowMs = performance.now();
    for (const pending of this.#pending) {
      if (pending.deadlineMs > nowMs) {
        this.#timer = setTimeout(this.#expire, pending.deadlineMs - nowMs + 1);
        return;
      }
      this.#pending.delete(pending);
      const error = new Error(`no reply within ${this.#timeoutMs} ms`);
      pending.expire(unavailable(error));
      this.#logLate(error);
      this.#replaceClient();
    }
  };

  async #start(): Promise<void> {
    checkRedisUrls(this.#options.urls);
    const rejected = Promise.withResolvers<never>();
    this.#rejected = rejected.reject;
    const waited = new AbortController();
    try {
      await Promise.race([this.#open(), rejected.promise, pause(this.#timeoutMs, undefined, { signal: waited.signal })]);
      if (this.#connected) await this.#check();
      else if (!this.#outage.has()) this.#logUnreachable(this.#servers, new Error(`no reply within ${this.#timeoutMs} ms`));
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      this.#rejected = undefined;
      waited.abort();
    }
  }

  /** Logs settings of the server that may lose documents. Throws when it is one node of a cluster. */
  async #check(): Promise<void> {
    const { urls, log } = this.#options;
    // The user may lack the permission, or the server be unreachable again.
    const info = await this.send("any", ["INFO"]).then(String, (error: unknown) => {
      log.warn({ error }, "Redis does not say how it stores documents");
      return "";
    });
    if (urls.length === 1 && /^cluster_enabled:1/m.test(info))
      throw new Error(`Redis at ${this.#servers} is a node of a cluster: set the addresses of several of its nodes`);
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
      reconnect: true,
      discoveryTimeoutMs: this.#timeoutMs,
      // What happens to a client that was replaced is not logged.
      failed: (server, error) => this.#client === client && this.#failed(server ?? this.#servers, error),
      ready: (server) => this.#client === client && this.#outage.reachable(server ?? this.#servers),
    });
    this.#newest = client;
    this.#openedMs = performance.now();
    // A server that is replaced does not respond; of a cluster the other nodes do.
    if (alone || this.#client === undefined) this.#use(client);
    for (let failures = 0; this.#newest === client; failures++)
      try {
        await client.connect();
        if (this.#newest !== client) return;
        this.#use(client);
        this.#connected = true;
        this.#outage.reachable(this.#servers);
        // Nodes that were unreachable may have left the cluster; those that have not are logged again.
        this.#outage.clear();
        return;
      } catch (error) {
        // No node of the cluster responds; the client of a single server retries by itself.
        if (this.#newest !== client) return;
        this.#failed(this.#servers, error);
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

  /** A connection to a server that is frozen or has vanished does not fail for as long as something is written to it. */
  #replaceClient(): void {
    const replacing = this.#newest !== this.#client;
    if (this.#client === undefined || replacing || performance.now() - this.#openedMs < replaceMsMin) return;
    void this.#open();
  }

  #failed(server: string, error: unknown): void {
    if (this.#rejected !== undefined && error instanceof ErrorReply && !transient.test(error.message))
      this.#rejected(new Error(`Redis at ${server} rejects the connection: ${error.message}`, { cause: error }));
    else this.#logUnreachable(server, error);
  }

  get #servers(): string {
    return redisHosts(this.#options.urls);
  }

  #logUnreachable(server: string, error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#outage.unreachable(server, error);
  }

  #logLate(error: Error): void {
    if (this.#options.urls.length === 1) return this.#logUnreachable(this.#servers, error);
    // It is not known which node of a cluster is late, and so neither when it responds again.
    const nowMs = performance.now();
    if (nowMs - this.#lateMs > lateMsMax) this.#options.log.warn({ error }, "a node of the Redis that stores the documents is unreachable");
    this.#lateMs = nowMs;
  }
}

function unavailable(cause: unknown): Refusal {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The documents in Redis are unreachable",
    retryAfterMs: 1_000,
    cause,
  });
}
