import assert from "node:assert/strict";
import { createClient } from "@redis/client";
import type { Logger } from "../telemetry/logger.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { createRedisCache } from "./redis.ts";
import type { RedisCache } from "./redis.ts";

/** A process's cache in a test of outages, with what it has said. */
export interface WatchedCache extends RedisCache {
  readonly lines: readonly string[];
  /** Resolves when so many lines have been logged: it goes away with the first, and is back with the second. */
  logged(count: number): Promise<void>;
}

/** A cache as the shop has it, stopped after the test. It has reached Redis, unless it `meets` none. */
export async function openWatchedCache(urls: readonly string[], prefix: string, meets = true): Promise<WatchedCache> {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const say = (_: object, message: string): void => {
    lines.push(message);
    for (const look of waiting) look();
  };
  const log: Logger = { debug: () => undefined, info: say, warn: say, error: say, child: () => log };
  // Longer than in the shop: these tests are about real outages, and the machine may be busy with others.
  const cache = createRedisCache({ urls, prefix, log, callTimeoutMs: 200 });
  afterTests(() => cache.stop());
  await cache.start();
  if (meets) await reached(cache);
  return {
    ...cache,
    lines,
    logged: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (lines.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Resolves when a cache that was started has come to its Redis, which a busy machine may take longer for than a start waits. */
export async function reached(cache: RedisCache): Promise<void> {
  while ((await cache.get("reached")) === undefined) {
    await cache.set("reached", true, 60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves when a cache gives a value: it gives none while it is in doubt, which a busy machine may be the reason for. */
export async function gives(cache: RedisCache, key: string, value: unknown): Promise<void> {
  while ((await cache.get(key)) !== value) await new Promise((resolve) => setImmediate(resolve));
}

/** A way to a server that can be made slow or be cut, for one process alone. */
export interface Way {
  readonly url: string;
  cut(): Promise<void>;
  slow(latencyMs: number): Promise<void>;
  mend(): Promise<void>;
}

/** Leads a way through Toxiproxy; taken down after the test. */
export async function openWay(server: string, name: string): Promise<Way> {
  const proxies = `${engineAddress("ENGINE_TOXIPROXY")}/proxies`;
  const ask = async (method: string, path: string, body?: object): Promise<unknown> => {
    const answer = await fetch(`${proxies}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    assert(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? undefined : answer.json();
  };
  const { host } = new URL(server);
  const { listen } = (await ask("POST", "", { name, listen: "127.0.0.1:0", upstream: host, enabled: true })) as { listen: string };
  afterTests(async () => void (await ask("DELETE", `/${name}`)));
  const url = Object.assign(new URL(server), { host: `${new URL(proxies).hostname}:${listen.split(":").at(-1)!}` }).href;
  let slowed = false;
  return {
    url,
    cut: async () => void (await ask("POST", `/${name}`, { enabled: false })),
    slow: async (latency) => {
      slowed = true;
      await ask("POST", `/${name}/toxics`, { name: "slow", type: "latency", stream: "downstream", attributes: { latency } });
    },
    mend: async () => {
      await ask("POST", `/${name}`, { enabled: true });
      if (slowed) await ask("DELETE", `/${name}/toxics/slow`);
      slowed = false;
    },
  };
}

/** The urls of a cluster's masters, or of the one server. */
export async function mastersOf(urls: readonly string[]): Promise<string[]> {
  if (urls.length === 1) return [...urls];
  const nodes = await firstOf(urls, (client) => client.clusterNodes());
  return nodes
    .split("\n")
    .filter((line) => /\bmaster\b/.test(line) && !/\bfail\b/.test(line))
    .map((line) => Object.assign(new URL(urls[0]!), { host: line.split(" ")[1]!.split("@")[0]! }).href);
}

/** Asks the first that answers. */
async function firstOf<Answer>(urls: readonly string[], ask: (client: ReturnType<typeof clientOf>) => Promise<Answer>): Promise<Answer> {
  const problems: unknown[] = [];
  for (const url of urls) {
    const client = clientOf(url);
    client.on("error", (error: unknown) => problems.push(error));
    try {
      await client.connect();
      return await ask(client);
    } catch (error) {
      problems.push(error);
    } finally {
      client.destroy();
    }
  }
  throw new AggregateError(problems, "no server answers");
}

function clientOf(url: string) {
  return createClient({ url, socket: { reconnectStrategy: false } });
}

export async function deleteKeys(urls: readonly string[], pattern: string): Promise<void> {
  for (const url of await mastersOf(urls)) {
    const client = await createClient({ url }).connect();
    for await (const keys of client.scanIterator({ MATCH: pattern, COUNT: 1_000 })) for (const key of keys) await client.del(key);
    client.destroy();
  }
}

export async function flushDatabase(url: string): Promise<void> {
  const client = await createClient({ url }).connect();
  await client.flushDb();
  client.destroy();
}
