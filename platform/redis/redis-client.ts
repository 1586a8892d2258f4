import { createClient, createCluster } from "@redis/client";
import type { RedisClientOptions as NodeOptions } from "@redis/client";
import { serverTls } from "../config/server-tls.ts";

/**
 * A client of one server or of a cluster. It queues nothing for later, and repeats a command only when a node of a cluster has refused it
 * because another node has the key.
 */
export interface RedisClient {
  /**
   * Of one server it resolves once connected; without `reconnect` it rejects at the first failure. Of a cluster it rejects when no node
   * responds, and may be repeated.
   */
  connect(): Promise<unknown>;
  /** Closes the connections; commands that wait for a reply are rejected. */
  destroy(): void;
  /** Sends a command to the server that has `key`. */
  send(key: string, args: readonly string[]): Promise<unknown>;
  /** Sends PING to the server, or to each master of the cluster. */
  ping(): Promise<unknown>;
}

export interface RedisClientOptions {
  /** One address, or those of several nodes of a cluster, which name the others. */
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca: string | undefined;
  /** Whether a lost connection is opened again by the client itself. */
  readonly reconnect: boolean;
  /** How long a node of a cluster may take to name the others, in ms. */
  readonly discoveryTimeoutMs: number;
  /** Called at each failure of a connection. `server` is undefined where there is one server, or when no node of the cluster responds. */
  readonly failed: (server: string | undefined, error: Error) => void;
  /** Called when a connection works (again). */
  readonly ready?: (server: string | undefined) => void;
}

const connectMsMax = 2_000;
const pingMs = 1_500;
/** A connection without a byte for so long is closed: a server that is frozen accepts connections and never responds. */
const silentMsMax = 4_000;
const retryMsMin = 100;
const retryMsMax = 2_000;

export function openRedisClient(options: RedisClientOptions): RedisClient {
  return options.urls.length === 1 ? openServer(options) : openCluster(options);
}

/** How one connection is opened. */
export function nodeOptions(url: string, { ca, reconnect }: Pick<RedisClientOptions, "ca" | "reconnect">): NodeOptions {
  const socket = {
    connectTimeout: connectMsMax,
    socketTimeout: silentMsMax,
    reconnectStrategy: reconnect ? retryDelayMs : false,
  } as const;
  return {
    url,
    name: "kontor",
    socket: isTls(url) ? { ...socket, tls: true, ...serverTls(ca) } : socket,
    // A command is rejected while there is no connection, instead of waiting for one.
    disableOfflineQueue: true,
    maintNotifications: "disabled",
    // It would cost a timer per command, and would not end a command that has been sent.
    commandOptions: { timeout: 0 },
    pingInterval: pingMs,
  };
}

/** The wait before the next attempt after so many failures, of random length, so that many processes do not return at the same moment. */
export function retryDelayMs(failures: number): number {
  return Math.min(retryMsMin * 2 ** Math.min(failures, 10), retryMsMax) * (0.5 + Math.random() / 2);
}

/** Throws, without the addresses, which may hold passwords, when they cannot be those of one Redis server or cluster. */
export function checkRedisUrls(urls: readonly string[]): void {
  if (urls.length === 0) throw new Error("Redis needs the url of a server, such as redis://:password@host:6379");
  if (new Set(urls.map((url) => isTls(url))).size > 1) throw new Error("either all addresses of a Redis cluster are rediss://, or none is");
  if (urls.length > 1 && urls.some((url) => !["", "/", "/0"].includes(new URL(url).pathname)))
    throw new Error("a Redis cluster has no database but 0: leave the number out of its addresses");
}

/** The servers' hosts and ports, for log lines. */
export function redisHosts(urls: readonly string[]): string {
  return urls.map((url) => new URL(url).host).join(", ");
}

function isTls(url: string): boolean {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["redis:", "rediss:"].includes(parsed.protocol) || parsed.hostname === "")
    throw new Error("the address of Redis is not like redis://:password@host:6379, or rediss:// with TLS");
  return parsed.protocol === "rediss:";
}

function openServer({ urls, failed, ready, ...options }: RedisClientOptions): RedisClient {
  const client = createClient(nodeOptions(urls[0]!, options));
  client.on("error", (error: Error) => failed(undefined, error));
  client.on("ready", () => ready?.(undefined));
  // A server that was frozen for a moment responds again on the same connection, which has no event for it.
  client.on("ping-interval", () => ready?.(undefined));
  return {
    connect: () => client.connect(),
    destroy: () => client.destroy(),
    send: (_, args) => client.sendCommand(args),
    ping: () => client.sendCommand(["PING"]),
  };
}

interface Node {
  readonly host: string;
  readonly port: number;
}

function openCluster({ urls, discoveryTimeoutMs, failed, ready, ...options }: RedisClientOptions): RedisClient {
  const { username, password } = new URL(urls[0]!);
  const { url: _, ...defaults } = nodeOptions(urls[0]!, options);
  const cluster = createCluster({
    // A frozen node should not keep us from trying the next.
    rootNodes: urls.map((url) => ({ url, socket: { socketTimeout: discoveryTimeoutMs } })),
    // The nodes that the others name do not take over what the addresses say.
    defaults: {
      ...defaults,
      ...(username !== "" && { username: decodeURIComponent(username) }),
      ...(password !== "" && { password: decodeURIComponent(password) }),
    },
    commandOptions: { timeout: 0 },
    // Otherwise a node that is unreachable at the start would keep the others from being used.
    minimizeConnections: true,
    topologyRefreshOnReconnectionAttemptStrategy: 1_000,
  });
  cluster.on("error", (error: Error) => failed(undefined, error));
  cluster.on("node-error", (error: Error, { host, port }: Node) => failed(`${host}:${port}`, error));
  cluster.on("node-ready", ({ host, port }: Node) => ready?.(`${host}:${port}`));
  return {
    connect: () => cluster.connect(),
    destroy: () => cluster.destroy(),
    // Sent to the key's node directly: the cluster's own way splits commands by what it knows of each.
    send: async (key, args) => {
      const node = await cluster.getNodeClientForKey(key);
      try {
        return await node.sendCommand(args);
      } catch (error) {
        if (!(error instanceof Error) || !/^(MOVED|ASK|TRYAGAIN) /.test(error.message)) throw error;
        // The slot moves to another node, or has moved: the cluster follows it and learns where it is.
        return cluster.sendCommand(key, false, [...args]);
      }
    },
    ping: () => Promise.all(cluster.masters.map(async (node) => (await cluster.nodeClient(node)).sendCommand(["PING"]))),
  };
}
