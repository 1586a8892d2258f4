import assert from "node:assert/strict";
import { createClient } from "@redis/client";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";

/** A proxy before a server that can be made slow or be closed, for one process alone. */
export interface RedisProxy {
  readonly url: string;
  close(): Promise<void>;
  slow(latencyMs: number): Promise<void>;
  /** Ends both. */
  reopen(): Promise<void>;
}

/** Opens one in Toxiproxy; removed after the test. */
export async function openRedisProxy(server: string, name: string): Promise<RedisProxy> {
  const proxies = `${engineAddress("ENGINE_TOXIPROXY")}/proxies`;
  const request = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${proxies}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    assert(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? undefined : response.json();
  };
  const { host } = new URL(server);
  const { listen } = (await request("POST", "", { name, listen: "127.0.0.1:0", upstream: host, enabled: true })) as { listen: string };
  afterTests(async () => void (await request("DELETE", `/${name}`)));
  const url = Object.assign(new URL(server), { host: `${new URL(proxies).hostname}:${listen.split(":").at(-1)!}` }).href;
  let slowed = false;
  return {
    url,
    close: async () => void (await request("POST", `/${name}`, { enabled: false })),
    slow: async (latency) => {
      slowed = true;
      await request("POST", `/${name}/toxics`, { name: "slow", type: "latency", stream: "downstream", attributes: { latency } });
    },
    reopen: async () => {
      await request("POST", `/${name}`, { enabled: true });
      if (slowed) await request("DELETE", `/${name}/toxics/slow`);
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

/** Uses the first server that responds. */
async function firstOf<Result>(urls: readonly string[], use: (client: ReturnType<typeof clientOf>) => Promise<Result>): Promise<Result> {
  const problems: unknown[] = [];
  for (const url of urls) {
    const client = clientOf(url);
    client.on("error", (error: unknown) => problems.push(error));
    try {
      await client.connect();
      return await use(client);
    } catch (error) {
      problems.push(error);
    } finally {
      client.destroy();
    }
  }
  throw new AggregateError(problems, "no server responds");
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
