import { setTimeout as pause } from "node:timers/promises";
import { MongoClient, MongoError, MongoInvalidArgumentError, MongoServerError, MongoWriteConcernError } from "mongodb";
import type { Collection, Document as BsonDocument, TopologyDescriptionChangedEvent } from "mongodb";
import { serverTls } from "../config/server-tls.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { OutageLog } from "../telemetry/outage-log.ts";

export interface MongoConnectionOptions {
  /** `mongodb://` or `mongodb+srv://`, with user, password, database and TLS in it. */
  readonly url: string;
  /** Authorities to trust, in PEM; those that the address names take precedence. */
  readonly ca: string | undefined;
  /** Instead of the address's. */
  readonly database?: string;
  readonly log: Logger;
  /** How long a reply may take, in ms; 2,000 by default. */
  readonly timeoutMs?: number;
}

const retryMsMax = 2_000;
/** Not authorised, authentication failed, and the code of MongoDB Atlas for it: retrying does not help. */
const rejectedCodes: ReadonlySet<unknown> = new Set([13, 18, 8000]);
/**
 * Codes after which the caller should try again: not the primary (any more), shutting down, unreachable, timed out, interrupted, not confirmed
 * by enough members.
 */
const transientCodes: ReadonlySet<unknown> = new Set([
  6, 7, 50, 63, 64, 79, 89, 91, 100, 133, 134, 189, 262, 317, 358, 364, 9001, 10107, 11600, 11602, 13388, 13435, 13436,
]);

/**
 * A connection to MongoDB that refuses with DEPENDENCY_UNAVAILABLE at once while no primary is known, and after `timeoutMs` when it does not
 * respond. It reconnects by itself. The driver repeats no write: after a lost reply the second write would be refused because of the first.
 */
export class MongoConnection {
  readonly #options: MongoConnectionOptions;
  readonly #timeoutMs: number;
  readonly #stopping = new AbortController();
  readonly #outage: OutageLog;
  readonly #collections = new Map<string, object>();
  #client: MongoClient | undefined;
  #writable = false;
  #starting: Promise<void> | undefined;
  #connecting: Promise<void> | undefined;

  constructor(options: MongoConnectionOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 2_000;
    this.#outage = new OutageLog({
      log: options.log,
      unreachable: "MongoDB, which stores the documents, is unreachable; reconnecting",
      reachable: "MongoDB, which stores the documents, is connected again",
    });
  }

  get ready(): boolean {
    return this.#writable;
  }

  start(): Promise<void> {
    return (this.#starting ??= this.#start());
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#writable = false;
    const client = this.#client;
    this.#client = undefined;
    await client?.close();
    await this.#connecting;
  }

  /** Works with a collection. Throws the server's error when it is a fault. */
  async run<Stored extends BsonDocument, T>(name: string, work: (collection: Collection<Stored>) => Promise<T>): Promise<T> {
    if (this.#client === undefined || !this.#writable) throw unavailable(new Error("no primary is known"));
    let collection = this.#collections.get(name) as Collection<Stored> | undefined;
    if (collection === undefined) {
      collection = this.#client.db(this.#options.database).collection<Stored>(name);
      this.#collections.set(name, collection);
    }
    try {
      return await work(collection);
    } catch (error) {
      throw isTransient(error) ? unavailable(error) : error;
    }
  }

  async #start(): Promise<void> {
    const client = this.#open();
    const waited = new AbortController();
    const first = Promise.withResolvers<void>();
    this.#connecting = this.#connect(client, first);
    try {
      await Promise.race([first.promise, pause(this.#timeoutMs, undefined, { signal: waited.signal })]);
    } catch (error) {
      await this.stop();
      throw error;
    } finally {
      waited.abort();
    }
  }

  #open(): MongoClient {
    const { url, ca } = this.#options;
    const unverified = /[?&](tlsInsecure|tlsAllowInvalid\w*)=/i.exec(url)?.[1];
    if (unverified !== undefined)
      throw new Error(`the address of MongoDB must not say ${unverified}: name the authority that signs its certificate instead`);
    let client: MongoClient;
    try {
      client = new MongoClient(url, {
        ...serverTls(/[?&]tlsCAFile=/i.test(url) ? undefined : ca),
        appName: "kontor",
        retryWrites: false,
        // Only documents that a majority has confirmed are read, so no failover reverts them.
        readConcern: { level: "majority" },
        writeConcern: { w: "majority", journal: true, wtimeoutMS: this.#timeoutMs },
        readPreference: "primary",
        connectTimeoutMS: this.#timeoutMs,
        socketTimeoutMS: this.#timeoutMs + 500,
        serverSelectionTimeoutMS: this.#timeoutMs,
        waitQueueTimeoutMS: this.#timeoutMs,
        heartbeatFrequencyMS: 2_000,
        maxPoolSize: 20,
        maxIdleTimeMS: 60_000,
      });
    } catch (error) {
      // The driver's message may quote the address with its password, so the error itself must not be logged as the cause.
      const message = (error instanceof Error ? error.message : String(error)).replaceAll(/\/\/[^@\s]*@/g, "//…@");
      // oxlint-disable-next-line preserve-caught-error -- see above
      throw new Error(`the address of MongoDB is not like mongodb://user:password@host:27017/database: ${message}`);
    }
    client.on("topologyDescriptionChanged", ({ newDescription }: TopologyDescriptionChangedEvent) => {
      const servers = [...newDescription.servers.values()];
      this.#writable = servers.some(({ isWritable }) => isWritable);
      if (this.#writable) this.#outage.reachable(this.#hosts);
      else this.#logUnreachable(servers.find(({ error }) => error !== null)?.error ?? undefined);
    });
    this.#client = client;
    return client;
  }

  /** A client whose first connection failed does not retry by itself; later it reconnects. */
  async #connect(client: MongoClient, first: PromiseWithResolvers<void>): Promise<void> {
    for (let failures = 0; this.#client === client; failures++)
      try {
        await client.connect();
        return first.resolve();
      } catch (error) {
        if (this.#client !== client) return first.resolve();
        if (isRejected(error))
          first.reject(new Error(`MongoDB at ${this.#hosts} rejects the connection: ${(error as Error).message}`, { cause: error }));
        this.#logUnreachable(error);
        first.resolve();
        await pause(Math.min(100 * 2 ** Math.min(failures, 10), retryMsMax), undefined, { signal: this.#stopping.signal }).catch(
          () => undefined,
        );
      }
    first.resolve();
  }

  #logUnreachable(error: unknown): void {
    // At the first attempt to connect there is no error yet.
    if (error !== undefined && !this.#stopping.signal.aborted) this.#outage.unreachable(this.#hosts, error);
  }

  get #hosts(): string {
    return this.#client?.options.hosts.map(String).join(", ") || "its address";
  }
}

function isRejected(error: unknown): boolean {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if (at instanceof MongoServerError && rejectedCodes.has(at.code)) return true;
  return false;
}

/** An error that neither the server sent nor a wrong use of the driver caused is one of the connection. */
function isTransient(error: unknown): boolean {
  if (error instanceof MongoWriteConcernError) return true;
  if (error instanceof MongoServerError) return transientCodes.has(error.code);
  // A write to a connection that was reset just then fails with the socket's own error, which the driver does not wrap.
  if (error instanceof Error && "syscall" in error) return true;
  return error instanceof MongoError && !(error instanceof MongoInvalidArgumentError);
}

function unavailable(cause: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The documents in MongoDB are unreachable",
    retryAfterMs: 1_000,
    cause,
  });
}
