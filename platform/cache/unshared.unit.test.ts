import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "./memory.ts";
import { createUnsharedCache } from "./unshared.ts";

describe("cache: unshared", () => {
  it("stores no values, so that it has none that another process has changed; counters, locks and messages are its own", async () => {
    const cache = createUnsharedCache(createMemoryCache({ maxEntries: 10 }));
    await cache.set("k", "value", 1_000);
    assert.equal(await cache.get("k"), undefined);
    let loads = 0;
    const read = () => cache.through("k", { ttlMs: 1_000 }, async () => ++loads);
    assert.deepEqual([await read(), await read(), await cache.get("k")], [1, 2, undefined]);
    await cache.replaceOlder([{ key: "k", version: 1, value: "value" }], 1_000);
    assert.equal(await cache.get("k"), undefined);
    await cache.increment("k", 1, 1_000);
    assert.equal((await cache.increment("k", 1, 1_000)).count, 2);
    await cache.delete("k");
    assert.equal((await cache.increment("k", 1, 1_000)).count, 3, "nothing removes a counter");
    const lock = await cache.lock("k", 1_000);
    assert.equal(await cache.lock("k", 1_000), undefined);
    await lock?.release();
    const received = Promise.withResolvers<unknown>();
    await cache.subscribe("c", received.resolve);
    await cache.publish("c", "word");
    assert.equal(await received.promise, "word");
  });
});
