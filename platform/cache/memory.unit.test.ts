import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cacheContract } from "./cache.contract.ts";
import { createMemoryCache } from "./memory.ts";

let nowMs = 0;
const clock = (): number => nowMs;

const shared = createMemoryCache({ maxEntries: 10_000, clock });

cacheContract("memory", {
  open: async () => shared,
  openOther: async () => shared,
  pass: async (ms) => void (nowMs += ms),
});

describe("cache: memory alone", () => {
  it("holds no more than its maximum and removes the least recently used", async () => {
    const cache = createMemoryCache({ maxEntries: 3, clock });
    for (const key of ["a", "b", "c"]) await cache.set(key, key, 1_000);
    await cache.get("a");
    await cache.set("d", "d", 1_000);
    await cache.set("d", "d", 1_000);
    const kept = await Promise.all(["a", "b", "c", "d"].map((key) => cache.get(key)));
    assert.deepEqual(kept, ["a", undefined, "c", "d"]);
  });

  it("stores nothing of earlier loads", async () => {
    const cache = createMemoryCache({ maxEntries: 3, clock });
    const options = { ttlMs: 1_000 };
    const loading = Promise.withResolvers<number>();
    const early = cache.through("k", options, () => loading.promise);
    await cache.delete("k");
    assert.equal(await cache.through("k", options, async () => 2), 2);
    loading.resolve(1);
    assert.equal(await early, 2);
    assert.equal(await cache.get("k"), 2);
  });

  it("says exactly how long a counter's window lasts", async () => {
    const cache = createMemoryCache({ maxEntries: 3, clock });
    assert.deepEqual(await cache.increment("k", 1, 1_000), { count: 1, expiresInMs: 1_000 });
    nowMs += 400;
    assert.deepEqual(await cache.increment("k", 1, 9_000), { count: 2, expiresInMs: 600 });
    nowMs += 600;
    assert.deepEqual(await cache.increment("k", 1, 1_000), { count: 1, expiresInMs: 1_000 });
  });

  it("isolates one listener's error from the others and from the publisher, and reports it", async () => {
    const failures: unknown[] = [];
    const cache = createMemoryCache({ maxEntries: 3, clock, listenerFailed: (error, channel) => failures.push([error, channel]) });
    const received = Promise.withResolvers<unknown>();
    const broken = new Error("broken");
    await cache.subscribe("c", () => {
      throw broken;
    });
    await cache.subscribe("c", received.resolve);
    await cache.publish("c", 1);
    assert.equal(await received.promise, 1);
    assert.deepEqual(failures, [[broken, "c"]]);
  });
});
