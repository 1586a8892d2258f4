import { createClient, createCluster } from "@redis/client";
import { serverTls } from "../config/server-tls.ts";

/** A client of one server or of a cluster. It queues nothing for later and repeats nothing but what a node has refused as another's. */
export interface RedisClient {
  /** Of one server it resolves when that is there, however long it takes; of a cluster it rejects when no node answers, and may be repeated. */
  connect(): Promise<unknown>;
  /** Ends it; what is under way is rejected. */
  destroy(): void;
  /** Sends a command to the server that has `key`. */
  send(key: string, args: string[]): Promise<unknown>;
}

export interface RedisClientOptions {
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca: string | undefined;
  readonly timeoutMs: number;
  /** Hears of each failure; `server` is undefined where there is one server, or it is the cluster as a whole. */
  readonly failed: (server: string | undefined, error: Error) => void;
  readonly ready: (server: string | undefined) => void;
}

const retryMsMax = 2_000;
const pingMs = 1_500;
/** Without a byte for so long a socket is given up: a server that is frozen accepts connections and never answers them. */
const silentMsMax = 4_000;

export function openRedisClient(options: RedisClientOptions): RedisClient {
  return options.urls.length === 1 ? single(options) : cluster(options);
}

function single({ urls, ca, failed, ready }: RedisClientOptions): RedisClient {
  const url = urls[0]!;
  const client = createClient({ url, ...clientOptions(isTls(url), ca) });
  client.on("error", (error: Error) => failed(undefined, error));
  client.on("ready", () => ready(undefined));
  // Frozen for a moment it comes back on the same connection, which is not told otherwise when nobody calls.
  client.on("ping-interval", () => ready(undefined));
  return {
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    send: (_, args) => client.sendCommand(args),
  };
}

interface Node {
  readonly host: string;
  readonly port: number;
}

function cluster({ urls, ca, timeoutMs, failed, ready }: RedisClientOptions): RedisClient {
  const { username, password } = new URL(urls[0]!);
  const client = createCluster({
    // One that is frozen should not keep us from asking the next.
    rootNodes: urls.map((url) => ({ url, socket: { socketTimeout: timeoutMs } })),
    // The nodes that those tell of get nothing from the addresses.
    defaults: {
      ...clientOptions(isTls(urls[0]!), ca),
      ...(username !== "" && { username: decodeURIComponent(username) }),
      ...(password !== "" && { password: decodeURIComponent(password) }),
    },
    commandOptions: { timeout: 0 },
    // Otherwise a node that is away at the start would keep the others from being used.
    minimizeConnections: true,
    topologyRefreshOnReconnectionAttemptStrategy: 1_000,
  });
  client.on("error", (error: Error) => failed(undefined, error));
  client.on("node-error", (error: Error, { host, port }: Node) => failed(`${host}:${port}`, error));
  client.on("node-ready", ({ host, port }: Node) => ready(`${host}:${port}`));
  return {
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    send: (key, args) => client.sendCommand(key, false, args),
  };
}

function clientOptions(tls: boolean, ca: string | undefined) {
  const socket = { connectTimeout: 2_000, socketTimeout: silentMsMax, reconnectStrategy: retryDelayMs };
  return {
    socket: tls ? { ...socket, tls: true as const, ...serverTls(ca) } : socket,
    // A call is refused while there is no connection, instead of waiting for one.
    disableOfflineQueue: true,
    // It would cost a timer a call, and end no call that is under way.
    commandOptions: { timeout: 0 },
    pingInterval: pingMs,
  };
}

export function retryDelayMs(failures: number): number {
  return Math.min(50 * 2 ** Math.min(failures, 10), retryMsMax) * (0.75 + Math.random() / 2);
}

/** Whether the address asks for TLS. Throws when it is none of Redis. */
export function isTls(url: string): boolean {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["redis:", "rediss:"].includes(parsed.protocol) || parsed.hostname === "")
    // Without the address, which may hold a password.
    throw new Error("the address of Redis is not like redis://:password@host:6379, or rediss:// with TLS");
  return parsed.protocol === "rediss:";
}
