import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { deleteKeys, openRedisProxy } from "../redis/test-redis.ts";
import type { RedisProxy } from "../redis/test-redis.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import type { Cache } from "./cache.ts";
import { gives, openWatchedCache } from "./test-redis-cache.ts";
import type { WatchedCache } from "./test-redis-cache.ts";

const server = engineAddress("ENGINE_REDIS");

/** Two processes, each with a proxy of its own before one Redis. */
async function open(): Promise<{ proxies: [RedisProxy, RedisProxy]; caches: [WatchedCache, WatchedCache] }> {
  const prefix = `test-${randomUUID()}`;
  afterTests(() => deleteKeys([server], `{${prefix}*`));
  const proxies: [RedisProxy, RedisProxy] = [await openRedisProxy(server, `${prefix}-0`), await openRedisProxy(server, `${prefix}-1`)];
  return { proxies, caches: [await openWatchedCache([proxies[0].url], prefix), await openWatchedCache([proxies[1].url], prefix)] };
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function callEverything(cache: Cache): Promise<void> {
  const key = randomUUID();
  await Promise.all([
    cache.get(key),
    cache.set(key, 1, 1_000),
    cache.delete(key),
    cache.through(key, { ttlMs: 1_000 }, async () => 1),
    cache.replaceOlder([{ key, version: 1, value: 1 }], 1_000),
    cache.increment(key, 1, 1_000),
    cache.lock(key, 1_000).then((lock) => lock?.release()),
    cache.publish(key, 1),
  ]);
}

const down = "Redis is unreachable: the cache works without it until it is connected again";
const up = "Redis is connected again";

describe("cache: redis unreachable", { concurrency: 4 }, () => {
  it("R14: without Redis calls end at once, counters, locks and messages are the process's own, and one line is logged", async () => {
    const { proxies, caches } = await open();
    const [cache] = caches;
    await cache.set("k", "old", 60_000);
    const received: unknown[] = [];
    const second = Promise.withResolvers<void>();
    await cache.subscribe("c", (message) => void (received.push(message) === 1 && second.resolve()));
    await Promise.all(proxies.map((proxy) => proxy.close()));
    await Promise.all(caches.map((each) => each.logged(1)));
    await cache.delete("k"); // the first of them waits until all have detected the outage
    assert((await took(async () => Promise.all(Array.from({ length: 500 }, () => callEverything(cache))))) < 10_000);
    assert.equal(await cache.get("k"), undefined);
    assert.equal(await cache.through("k", { ttlMs: 1_000 }, async () => "loaded"), "loaded");
    assert.equal(await cache.through("k", { ttlMs: 1_000 }, async () => "again"), "again");
    await cache.increment("n", 1, 60_000);
    assert.equal((await cache.increment("n", 1, 60_000)).count, 2);
    const locks = await Promise.all(Array.from({ length: 20 }, () => cache.lock("l", 60_000)));
    assert.equal(locks.filter((lock) => lock !== undefined).length, 1);
    await cache.publish("c", "here");
    await second.promise;
    assert.deepEqual(received, ["here"]);
    await Promise.all(proxies.map((proxy) => proxy.reopen()));
    await Promise.all(caches.map((each) => each.logged(2)));
    // Later a busy machine may be too slow for it again.
    assert.deepEqual(cache.lines.slice(0, 2), [down, up]);
    // Stored again until it is there: what is stored while Redis is too slow once more is lost.
    for (; (await caches[1].get("k")) !== "new"; await nextTurn()) await cache.set("k", "new", 60_000);
    const next = await cache.lock("l", 60_000);
    assert(next !== undefined && next.fence > locks.find((lock) => lock !== undefined)!.fence, "fences rise from one engine to the other");
  });

  it("R14: a slow Redis counts as unreachable: the first calls wait for their time, later ones do not, until it is fast again", async () => {
    const { proxies, caches } = await open();
    const [cache] = caches;
    await cache.set("k", "kept", 60_000);
    await proxies[0].slow(3_000);
    assert((await took(() => cache.get("k"))) < 2_500);
    await cache.logged(1);
    assert((await took(async () => Promise.all(Array.from({ length: 1_000 }, () => cache.get("k"))))) < 2_500);
    // It replies to each invalidation, but too late.
    assert.equal(await cache.get("k"), undefined);
    await proxies[0].reopen();
    await cache.logged(2);
    assert.deepEqual(cache.lines, [down, up]);
    await cache.set("k", "new", 60_000);
    await gives(cache, "k", "new");
  });

  it("CAT-08: what a process deleted without a connection is not used by any process once it is connected again", async () => {
    const { proxies, caches } = await open();
    const [cut, other] = caches;
    await other.set("k", "old", 60_000);
    await gives(cut, "k", "old");
    await proxies[0].close();
    await cut.logged(1);
    await cut.delete("k");
    assert.equal(await cut.get("k"), undefined);
    // The other process does not know of this one's outage: until then it has the old value.
    await proxies[0].reopen();
    await cut.logged(2);
    assert.deepEqual([await cut.get("k"), await other.get("k")], [undefined, undefined]);
  });

  it("CAT-08: what was being loaded when Redis was lost is not stored, and a lost delete waits until all processes have detected it", async () => {
    const { proxies, caches } = await open();
    const [one, other] = caches;
    await other.set("k", "old", 60_000);
    const loading = Promise.withResolvers<string>();
    const loadStarted = Promise.withResolvers<void>();
    const early = one.through("l", { ttlMs: 60_000 }, () => (loadStarted.resolve(), loading.promise));
    await loadStarted.promise;
    await Promise.all(proxies.map((proxy) => proxy.slow(30_000)));
    assert((await took(() => one.delete("k", "l"))) < 10_000);
    // Whatever happens from here on, nobody reads the old value.
    assert.equal(await other.get("k"), undefined);
    await Promise.all(caches.map((each) => each.logged(1)));
    await Promise.all(proxies.map((proxy) => proxy.reopen()));
    loading.resolve("old");
    assert.equal(await early, "old");
    await Promise.all(caches.map((each) => each.logged(2)));
    for (const cache of caches) assert.deepEqual([await cache.get("k"), await cache.get("l")], [undefined, undefined]);
  });

  it("messages are received again after reconnecting", async () => {
    const { proxies, caches } = await open();
    const [one, other] = caches;
    const received: unknown[] = [];
    let onMessage = (): void => undefined;
    await one.subscribe("c", (message) => {
      received.push(message);
      onMessage();
    });
    await proxies[0].close();
    await one.logged(1);
    await other.publish("c", "lost");
    await proxies[0].reopen();
    await one.logged(2);
    const again = new Promise<void>((resolve) => (onMessage = resolve));
    const calling = setInterval(() => void other.publish("c", "again"), 20);
    await again;
    clearInterval(calling);
    assert.equal(received[0], "again");
  });
});
