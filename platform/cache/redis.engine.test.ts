import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { createClient } from "@redis/client";
import type { Logger } from "../telemetry/logger.ts";
import { deleteKeys, mastersOf } from "../redis/test-redis.ts";
import { engineAddress } from "../testing/engines.ts";
import { cacheContract } from "./cache.contract.ts";
import { createRedisCache } from "./redis.ts";
import type { RedisCache } from "./redis.ts";
import { connected } from "./test-redis-cache.ts";

const server = engineAddress("ENGINE_REDIS");
const cluster = engineAddress("ENGINE_REDIS_CLUSTER").split(",");
const prefix = `test-${randomUUID()}`;
const opened: RedisCache[] = [];
const warnings: string[] = [];

const log: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (_, message) => void warnings.push(message),
  error: (fields, message) => console.error(message, fields),
  child: () => log,
};

/** A cache of a process of its own. A busy machine is no outage. */
async function open(urls: readonly string[], own = prefix): Promise<RedisCache> {
  const cache = createRedisCache({ urls, prefix: own, log, callTimeoutMs: 5_000 });
  opened.push(cache);
  await cache.start();
  await connected(cache);
  return cache;
}

after(async () => {
  await Promise.all(opened.map((cache) => cache.stop()));
  await deleteKeys([server], `{${prefix}*`);
  await deleteKeys(cluster, `{${prefix}*`);
});

for (const [name, urls] of [
  ["DAT-04: redis", [server]],
  ["DAT-11: redis cluster", cluster],
] as const) {
  // Each start invalidates what others have stored, so these are started before the first test.
  const caches = Promise.all([open(urls), open(urls)]);
  cacheContract(name, {
    open: async () => (await caches)[0],
    openOther: async () => (await caches)[1],
    pass: (ms) => pause(ms),
    shortMs: 300,
  });
}

describe("cache: redis alone", () => {
  it("DAT-11: the cluster is whole, has three masters, and they share the keys", async () => {
    const client = await createClient({ url: (await mastersOf(cluster))[0]! }).connect();
    const info = await client.clusterInfo();
    client.destroy();
    assert.match(info, /cluster_state:ok/);
    assert.match(info, /cluster_size:3/);
    const own = `${prefix}-spread`;
    const cache = await open(cluster, own);
    await Promise.all(Array.from({ length: 200 }, (_, nth) => cache.set(`key-${nth}`, nth, 60_000)));
    const masters = await mastersOf(cluster);
    assert.equal(masters.length, 3);
    for (const url of masters) {
      const master = await createClient({ url }).connect();
      const found = Number(await master.sendCommand(["EVAL", "return #redis.call('KEYS', ARGV[1])", "0", `{${own}:*}:v:*`]));
      assert(found > 20, `${url} has ${found} of 200`);
      master.destroy();
    }
  });

  it("takes values of another form, and one that cannot be read is loaded again", async () => {
    const [cache, other] = [await open([server], `${prefix}-forms`), await open([server], `${prefix}-forms`)];
    const options = {
      ttlMs: 60_000,
      toJson: (value: bigint) => value.toString(),
      fromJson: (json: unknown) => BigInt(json as string),
    };
    assert.equal(await cache.through("n", options, async () => 7n), 7n);
    assert.equal(await other.through("n", options, async () => 8n), 7n);
    await cache.set("n", "no number", 60_000);
    assert.equal(await other.through("n", options, async () => 9n), 9n);
    assert.match(warnings.join(), /a cached value cannot be read/);
  });

  it("does not use what was stored before another process started", async () => {
    const own = `${prefix}-epochs`;
    const cache = await open([server], own);
    await cache.set("k", "old", 60_000);
    assert.equal(await cache.get("k"), "old");
    const loading = Promise.withResolvers<string>();
    const loadStarted = Promise.withResolvers<void>();
    const early = cache.through("l", { ttlMs: 60_000 }, () => (loadStarted.resolve(), loading.promise));
    await loadStarted.promise;
    const other = await open([server], own);
    loading.resolve("old");
    await early;
    assert.deepEqual([await cache.get("k"), await other.get("k"), await other.get("l")], [undefined, undefined, undefined]);
  });

  it("a flush loses stored values and nothing else: what a process has counted still counts, fences go on rising", async () => {
    // A database of its own on the server, because other tests use the first.
    const url = Object.assign(new URL(server), { pathname: "/13" }).href;
    const cache = await open([url]);
    const client = await createClient({ url }).connect();
    await cache.set("k", "old", 60_000);
    await cache.increment("k", 1, 60_000);
    const before = await cache.lock("k", 60_000);
    const loading = Promise.withResolvers<string>();
    const loadStarted = Promise.withResolvers<void>();
    const early = cache.through("l", { ttlMs: 60_000 }, () => (loadStarted.resolve(), loading.promise));
    await loadStarted.promise;
    await client.flushDb();
    loading.resolve("old");
    await early;
    assert.deepEqual([await cache.get("k"), await cache.get("l")], [undefined, undefined]);
    assert.equal((await cache.increment("k", 1, 60_000)).count, 2);
    const next = await cache.lock("k", 60_000);
    assert(before !== undefined && next !== undefined && next.fence > before.fence);
    await before.release();
    assert.equal(await cache.lock("k", 60_000), undefined);
    await cache.set("k", "new", 60_000);
    assert.equal(await cache.get("k"), "new");
    await client.flushDb();
    client.destroy();
  });

  it("takes times to live that are not whole, or past", async () => {
    const cache = await open([server], `${prefix}-times`);
    await cache.set("k", 1, 60_000.5);
    assert.equal(await cache.get("k"), 1);
    await cache.set("k", 1, -5);
    await cache.increment("k", 1, 1_000.25);
    assert.equal((await cache.increment("k", 1, 1_000)).count, 2);
  });

  it("refuses urls that are not a Redis's, and a database in a cluster", () => {
    assert.throws(() => createRedisCache({ urls: [], log }), /needs the url/);
    assert.throws(() => createRedisCache({ urls: ["http://localhost"], log }), /redis:\/\//);
    assert.throws(() => createRedisCache({ urls: ["redis://a/1", "redis://b/1"], log }), /database/);
  });

  it("stopped again and again, and before it is started, it leaves nothing behind", async () => {
    const cache = createRedisCache({ urls: [server], log });
    await cache.stop();
    await cache.start();
    assert.equal(await cache.get("k"), undefined);
    const other = await open([server], `${prefix}-stops`);
    await other.stop();
    await other.stop();
    await other.set("k", 1, 1_000);
    await other.delete("k");
    assert.equal(await other.get("k"), undefined);
  });
});
