import { Connection } from "rabbitmq-client";
import type { ConnectionOptions } from "rabbitmq-client";
import { serverTls } from "../config/server-tls.ts";
import type { Logger } from "../telemetry/logger.ts";
import { within } from "../retry/within.ts";

/** Where RabbitMQ is. */
export interface RabbitAddress {
  /** `amqp://user:password@host:port/vhost`, or `amqps:`. Several are the nodes of one cluster: they differ in host and port only. */
  readonly urls: readonly string[];
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
}

interface Needs {
  readonly address: RabbitAddress;
  /** How the management interface shows the connection. */
  readonly name: string;
  readonly log: Logger;
}

/** Errors that a retry does not change. */
const refusals = new Set(["ACCESS_REFUSED", "NOT_ALLOWED", "VERSION_MISMATCH"]);
const firstMs = 5_000;
const closeMs = 2_000;

/** One connection to RabbitMQ: to any node that is available, and to the next one when that is lost. Logs its loss and its return once each. */
export class RabbitConnection {
  readonly #needs: Needs;
  readonly #options: ConnectionOptions & { readonly hosts: string[] };
  #connection: Connection | undefined;
  #unavailable = false;

  /** Refuses malformed and contradictory addresses. */
  constructor(needs: Needs) {
    this.#needs = needs;
    this.#options = optionsOf(needs);
  }

  /** Whether frames are sent at once. */
  get ready(): boolean {
    return this.#connection?.ready ?? false;
  }

  /** Resolves when it is connected, or when it goes on trying by itself. Throws when the server refuses the user or the virtual host. */
  async start(): Promise<Connection> {
    const { log } = this.#needs;
    const servers = this.#options.hosts;
    const connection = (this.#connection = new Connection(this.#options));
    const first = Promise.withResolvers<void>();
    connection.on("connection", () => {
      if (this.#unavailable) log.info({ servers }, "RabbitMQ is available again");
      this.#unavailable = false;
      first.resolve();
    });
    connection.on("connection.blocked", (reason) => log.warn({ servers, reason }, "RabbitMQ accepts no messages for now"));
    connection.on("error", (error: unknown) => {
      if (refusals.has(codeOf(error))) first.reject(this.#refused(error));
      if (connection.ready) return log.warn({ error }, "RabbitMQ reports an error");
      if (!this.#unavailable) log.warn({ error, servers }, "RabbitMQ is unavailable: tasks wait until it is available again");
      this.#unavailable = true;
      // With several nodes the next one may be available.
      if (servers.length === 1) first.resolve();
    });
    try {
      await within(firstMs, first.promise);
    } catch (error) {
      connection.unsafeDestroy();
      throw error;
    }
    return connection;
  }

  /** Closes it, after `channels`, and without waiting for them when the server does not respond. */
  async stop(channels: () => Promise<unknown>): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    if (connection.ready) {
      await within(closeMs, channels());
      await within(closeMs, connection.close());
    }
    connection.unsafeDestroy();
    await channels(); // without a connection they end by themselves
  }

  #refused(error: unknown): Error {
    const { username, vhost, hosts } = this.#options;
    const message = `RabbitMQ at ${hosts.join(", ")} refuses the user ${username} for the virtual host ${vhost}: check the address in KONTOR_TASKS`;
    return new Error(message, { cause: error });
  }
}

function optionsOf({ address, name }: Needs): ConnectionOptions & { readonly hosts: string[] } {
  const urls = address.urls.map((url) => {
    if (!/^amqps?:\/\/./.test(url) || !URL.canParse(url)) throw new Error("an address of RabbitMQ is amqp://user:password@host:port/vhost");
    return new URL(url);
  });
  const [first] = urls;
  if (first === undefined) throw new Error("RabbitMQ needs an address: amqp://user:password@host:port/vhost");
  const same = (url: URL) => `${url.protocol} ${url.username} ${url.password} ${url.pathname}`;
  if (urls.some((url) => same(url) !== same(first)))
    throw new Error("the nodes of one RabbitMQ differ in host and port only: same scheme, user, password and virtual host");
  const secure = first.protocol === "amqps:";
  const hosts = urls.map((url) => `${url.hostname}:${url.port || (secure ? 5671 : 5672)}`);
  const start = Math.floor(Math.random() * hosts.length); // so that processes spread over the nodes
  return {
    hosts: [...hosts.slice(start), ...hosts.slice(0, start)],
    username: decodeURIComponent(first.username || "guest"),
    password: decodeURIComponent(first.password || "guest"),
    vhost: decodeURIComponent(first.pathname.slice(1)) || "/",
    ...(secure && { tls: serverTls(address.ca) }),
    connectionName: name,
    noDelay: true,
    heartbeat: 8,
    acquireTimeout: 5_000,
    connectionTimeout: 3_000,
    retryLow: 200,
    retryHigh: 2_000,
  };
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
