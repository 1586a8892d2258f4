import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import type { Cache } from "./cache.ts";
import { deleteKeys, gives, openWatchedCache, openWay } from "./test-redis.ts";
import type { WatchedCache, Way } from "./test-redis.ts";

const server = engineAddress("ENGINE_REDIS");

/** Two processes, each with a way of its own to one Redis. */
async function open(): Promise<{ ways: [Way, Way]; caches: [WatchedCache, WatchedCache] }> {
  const prefix = `test-${randomUUID()}`;
  afterTests(() => deleteKeys([server], `{${prefix}*`));
  const ways: [Way, Way] = [await openWay(server, `${prefix}-0`), await openWay(server, `${prefix}-1`)];
  return { ways, caches: [await openWatchedCache([ways[0].url], prefix), await openWatchedCache([ways[1].url], prefix)] };
}

async function took(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function every(cache: Cache): Promise<void> {
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

const down = "Redis is away; the house goes on without it, and looks for it";
const up = "Redis is back";

describe("cache: redis away", { concurrency: 4 }, () => {
  it("R14: without Redis calls end at once, counters, locks and messages are the process's own, and it says so once", async () => {
    const { ways, caches } = await open();
    const [cache] = caches;
    await cache.set("k", "old", 60_000);
    const heard: unknown[] = [];
    const second = Promise.withResolvers<void>();
    await cache.subscribe("c", (message) => void (heard.push(message) === 1 && second.resolve()));
    await Promise.all(ways.map((way) => way.cut()));
    await Promise.all(caches.map((each) => each.logged(1)));
    await cache.delete("k"); // the first of them waits until all have noticed
    assert((await took(async () => Promise.all(Array.from({ length: 500 }, () => every(cache))))) < 10_000);
    assert.equal(await cache.get("k"), undefined);
    assert.equal(await cache.through("k", { ttlMs: 1_000 }, async () => "loaded"), "loaded");
    assert.equal(await cache.through("k", { ttlMs: 1_000 }, async () => "again"), "again");
    await cache.increment("n", 1, 60_000);
    assert.equal((await cache.increment("n", 1, 60_000)).count, 2);
    const locks = await Promise.all(Array.from({ length: 20 }, () => cache.lock("l", 60_000)));
    assert.equal(locks.filter((lock) => lock !== undefined).length, 1);
    await cache.publish("c", "here");
    await second.promise;
    assert.deepEqual(heard, ["here"]);
    await Promise.all(ways.map((way) => way.mend()));
    await Promise.all(caches.map((each) => each.logged(2)));
    // Later a machine that is busy may be too slow for it again.
    assert.deepEqual(cache.lines.slice(0, 2), [down, up]);
    await cache.set("k", "new", 60_000);
    await gives(caches[1], "k", "new");
    const next = await cache.lock("l", 60_000);
    assert(next !== undefined && next.fence > locks.find((lock) => lock !== undefined)!.fence, "fences rise from one engine to the other");
  });

  it("R14: a Redis that is slow is away: one call in time's length, then none, until it is quick again", async () => {
    const { ways, caches } = await open();
    const [cache] = caches;
    await cache.set("k", "kept", 60_000);
    await ways[0].slow(3_000);
    assert((await took(() => cache.get("k"))) < 2_500);
    await cache.logged(1);
    assert((await took(async () => Promise.all(Array.from({ length: 1_000 }, () => cache.get("k"))))) < 2_500);
    // It answers each attempt to renew, but too late.
    assert.equal(await cache.get("k"), undefined);
    await ways[0].mend();
    await cache.logged(2);
    assert.deepEqual(cache.lines, [down, up]);
    await cache.set("k", "new", 60_000);
    await gives(cache, "k", "new");
  });

  it("CAT-08: what a process deleted while it was away is used by nobody once it is back", async () => {
    const { ways, caches } = await open();
    const [cut, other] = caches;
    await other.set("k", "old", 60_000);
    await gives(cut, "k", "old");
    await ways[0].cut();
    await cut.logged(1);
    await cut.delete("k");
    assert.equal(await cut.get("k"), undefined);
    // Of this one's outage the other knows nothing: until then it has the old value.
    await ways[0].mend();
    await cut.logged(2);
    assert.deepEqual([await cut.get("k"), await other.get("k")], [undefined, undefined]);
  });

  it("CAT-08: what was being loaded when Redis was lost is not kept, and a delete that is lost waits until all know", async () => {
    const { ways, caches } = await open();
    const [one, other] = caches;
    await other.set("k", "old", 60_000);
    const loading = Promise.withResolvers<string>();
    const asked = Promise.withResolvers<void>();
    const early = one.through("l", { ttlMs: 60_000 }, () => (asked.resolve(), loading.promise));
    await asked.promise;
    await Promise.all(ways.map((way) => way.slow(30_000)));
    assert((await took(() => one.delete("k", "l"))) < 10_000);
    // Whatever happens from here on, nobody reads what was there before.
    assert.equal(await other.get("k"), undefined);
    await Promise.all(caches.map((each) => each.logged(1)));
    await Promise.all(ways.map((way) => way.mend()));
    loading.resolve("old");
    assert.equal(await early, "old");
    await Promise.all(caches.map((each) => each.logged(2)));
    for (const cache of caches) assert.deepEqual([await cache.get("k"), await cache.get("l")], [undefined, undefined]);
  });

  it("messages are heard again when the connection is back", async () => {
    const { ways, caches } = await open();
    const [one, other] = caches;
    const heard: unknown[] = [];
    let look = (): void => undefined;
    await one.subscribe("c", (message) => {
      heard.push(message);
      look();
    });
    await ways[0].cut();
    await one.logged(1);
    await other.publish("c", "lost");
    await ways[0].mend();
    await one.logged(2);
    const again = new Promise<void>((resolve) => (look = resolve));
    const calling = setInterval(() => void other.publish("c", "again"), 20);
    await again;
    clearInterval(calling);
    assert.equal(heard[0], "again");
  });
});
