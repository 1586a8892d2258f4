import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { after, describe, it } from "node:test";
import { createClient } from "@redis/client";
import { deleteKeys, mastersOf } from "../redis/test-redis.ts";
import { controlEngine, engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { gives, openWatchedCache } from "./test-redis-cache.ts";
import type { WatchedCache } from "./test-redis-cache.ts";

const server = engineAddress("ENGINE_REDIS");
const cluster = engineAddress("ENGINE_REDIS_CLUSTER").split(",");
const clusterProcess = "redis-cluster-1";

after(async () => {
  await controlEngine("start", "redis");
  await controlEngine("start", clusterProcess);
});

async function open(urls: readonly string[], count: number, connects = true): Promise<WatchedCache[]> {
  const prefix = `test-${randomUUID()}`;
  afterTests(() => deleteKeys(urls, `{${prefix}*`));
  return Promise.all(Array.from({ length: count }, () => openWatchedCache(urls, prefix, connects)));
}

/** Reads from all of them until `done`; gives all values that were read, and how long the slowest took. */
async function readUntil(caches: readonly WatchedCache[], key: string, done: Promise<unknown>) {
  const values = new Set<unknown>();
  let slowestMs = 0;
  let reading = true;
  const ended = done.finally(() => (reading = false));
  const read = async (cache: WatchedCache): Promise<void> => {
    while (reading) {
      const startMs = performance.now();
      values.add(await cache.get(key));
      slowestMs = Math.max(slowestMs, performance.now() - startMs);
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await Promise.all([ended, ...caches.map(read)]);
  return { values, slowestMs };
}

describe("cache: outages of redis", () => {
  it("R14: killed, and started again with what it had stored: what was deleted meanwhile is not read", async () => {
    const caches = await open([server], 3);
    await caches[0]!.set("k", "old", 60_000);
    await gives(caches[2]!, "k", "old");
    await controlEngine("kill", "redis");
    await caches[0]!.delete("k");
    const started = controlEngine("start", "redis");
    const { values, slowestMs } = await readUntil(caches, "k", Promise.all([started, ...caches.map((cache) => cache.logged(2))]));
    assert.deepEqual([...values], [undefined]);
    assert(slowestMs < 3_000, `${slowestMs} ms`);
    for (const cache of caches) assert.equal(cache.lines.length, 2);
    await caches[0]!.set("k", "new", 60_000);
    await gives(caches[1]!, "k", "new");
  });

  it("R14: frozen and continued: calls end at once, also a start, and what was deleted meanwhile is not read", async () => {
    const caches = await open([server], 3);
    await caches[0]!.set("k", "old", 60_000);
    await controlEngine("stop", "redis");
    let late: WatchedCache;
    try {
      await caches[0]!.delete("k");
      const startMs = performance.now();
      [late] = (await open([server], 1, false)) as [WatchedCache];
      assert.equal(await late.get("k"), undefined);
      assert(performance.now() - startMs < 6_000);
    } finally {
      await controlEngine("cont", "redis");
    }
    const { values } = await readUntil([...caches, late], "k", Promise.all(caches.map((cache) => cache.logged(2))));
    assert.deepEqual([...values], [undefined]);
  });

  it("R14, DAT-11: a master of the cluster is lost: its replica takes over by itself, and no old value is read", async () => {
    // The first address is the process of that name; it may be a replica since an earlier test.
    const masters = await mastersOf(cluster);
    if (!masters.includes(cluster[0]!)) {
      const client = await createClient({ url: cluster[0]! }).connect();
      await client.sendCommand(["CLUSTER", "FAILOVER"]);
      while ((await client.sendCommand<[string]>(["ROLE"]))[0] !== "master") await new Promise((resolve) => setImmediate(resolve));
      client.destroy();
    }
    const caches = await open(cluster, 2);
    const keys = Array.from({ length: 50 }, (_, nth) => `k${nth}`);
    await Promise.all(keys.map((key) => caches[0]!.set(key, "old", 60_000)));
    await controlEngine("kill", clusterProcess);
    await caches[0]!.delete(...keys);
    const back = Promise.all(caches.map((cache) => cache.logged(2)));
    const { values } = await readUntil(caches, "k0", back);
    assert.deepEqual([...values], [undefined]);
    for (const cache of caches) for (const key of keys) assert.equal(await cache.get(key), undefined);
    await Promise.all(keys.map((key) => caches[0]!.set(key, "new", 60_000)));
    for (const key of keys) await gives(caches[1]!, key, "new");
    await controlEngine("start", clusterProcess);
    for (const key of keys) await gives(caches[1]!, key, "new");
  });
});
