import { createHash } from "node:crypto";
import { createClient, createCluster } from "@redis/client";
import type { RedisClientOptions } from "@redis/client";
import { serverTls } from "../config/server-tls.ts";

/**
 * Connections to a server, or to the masters of a cluster, that are up together: when one is lost, all are given up and a new link is
 * opened. Nothing is queued for a server that is away.
 */
export interface RedisLink {
  /** Sends a command about keys of one tag. Rejects with what the server says, or when the link is lost. */
  send(tag: number, args: readonly string[]): Promise<unknown>;
  run(tag: number, script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown>;
  /** Asks every server for a sign of life. */
  ping(): Promise<unknown>;
  close(): void;
}

export interface LinkOptions {
  readonly urls: readonly string[];
  /** Authorities to trust, in PEM. */
  readonly ca: string | undefined;
  /** The hash tags of all keys. In a cluster they spread the keys over the masters. */
  readonly tags: readonly string[];
  /** Called when a connection is lost; perhaps several times. */
  readonly lost: (error: unknown) => void;
  /** Ends the opening. */
  readonly signal: AbortSignal;
}

/** A Lua script, known to the server by its hash once it has run there. */
export interface Script {
  readonly text: string;
  readonly hash: string;
}

export function script(text: string): Script {
  return { text, hash: createHash("sha1").update(text).digest("hex") };
}

/** How long a connection may take, and then may stay silent; there is a sign of life each quarter of a second. */
const connectMs = 3_000;
const silentMsMax = 5_000;

export function clientOptions(url: string, ca: string | undefined): RedisClientOptions {
  const socket = { connectTimeout: connectMs, socketTimeout: silentMsMax, reconnectStrategy: false } as const;
  return {
    url,
    name: "kontor",
    disableOfflineQueue: true,
    maintNotifications: "disabled",
    socket: new URL(url).protocol === "rediss:" ? { ...socket, tls: true, ...serverTls(ca) } : socket,
  };
}

/** Rejects when no server answers. */
export async function openRedisLink(options: LinkOptions): Promise<RedisLink> {
  const sender = options.urls.length === 1 ? await openServer(options) : await openCluster(options);
  const { send } = sender;
  return {
    ...sender,
    run: async (tag, { hash, text }, keys, args) => {
      const rest = [String(keys.length), ...keys, ...args];
      try {
        return await send(tag, ["EVALSHA", hash, ...rest]);
      } catch (error) {
        if (!startsWith(error, "NOSCRIPT")) throw error;
        return send(tag, ["EVAL", text, ...rest]);
      }
    },
  };
}

type Sender = Omit<RedisLink, "run">;

async function openServer({ urls, ca, lost, signal }: LinkOptions): Promise<Sender> {
  const client = createClient(clientOptions(urls[0]!, ca));
  client.on("error", lost);
  const end = (): void => client.destroy();
  signal.addEventListener("abort", end);
  try {
    await client.connect();
  } catch (error) {
    client.destroy();
    throw error;
  } finally {
    signal.removeEventListener("abort", end);
  }
  return {
    send: async (_, args) => client.sendCommand(args),
    ping: async () => client.sendCommand(["PING"]),
    close: () => client.destroy(),
  };
}

async function openCluster({ urls, ca, tags, lost, signal }: LinkOptions): Promise<Sender> {
  const { url: _, ...defaults } = clientOptions(urls[0]!, ca);
  const { username, password } = new URL(urls[0]!);
  const cluster = createCluster({
    rootNodes: urls.map((url) => ({ url })),
    defaults: {
      ...defaults,
      ...(username !== "" && { username: decodeURIComponent(username) }),
      ...(password !== "" && { password: decodeURIComponent(password) }),
    },
  });
  const problems: unknown[] = [];
  let open = false;
  const trouble = (error: unknown): unknown => (open ? lost(error) : problems.push(error));
  cluster.on("error", trouble);
  cluster.on("node-error", trouble);
  const end = (): void => cluster.destroy();
  signal.addEventListener("abort", end);
  try {
    await cluster.connect();
    open = true;
    const nodes = await Promise.all(tags.map((tag) => cluster.getNodeClientForKey(`{${tag}}`)));
    return {
      send: async (tag, args) => {
        try {
          return await nodes[tag]!.sendCommand(args);
        } catch (error) {
          if (!["MOVED", "ASK", "TRYAGAIN"].some((code) => startsWith(error, code))) throw error;
          // Slots move to another master: it is asked, and from now on where they are for good.
          const key = `{${tags[tag]!}}`;
          const reply: unknown = await cluster.sendCommand(key, false, [...args]);
          nodes[tag] = await cluster.getNodeClientForKey(key);
          return reply;
        }
      },
      ping: async () => Promise.all([...new Set(nodes)].map((node) => node.sendCommand(["PING"]))),
      close: () => cluster.destroy(),
    };
  } catch (error) {
    cluster.destroy();
    throw problems.length === 0
      ? error
      : new AggregateError(problems.slice(-3), "no server of the cluster answers as it should", { cause: error });
  } finally {
    signal.removeEventListener("abort", end);
  }
}

function startsWith(error: unknown, code: string): boolean {
  return error instanceof Error && error.message.startsWith(code);
}
