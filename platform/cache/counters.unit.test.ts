import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Counters } from "./counters.ts";
import { createMemoryCache } from "./memory.ts";

describe("counters of a process", () => {
  it("S18: a counter is never pushed out, by however many others, values or deletions, before it expires", async () => {
    let nowMs = 0;
    const cache = createMemoryCache({ maxEntries: 100, clock: () => nowMs });
    for (let n = 1; n <= 10; n++) await cache.increment("login:ann", 1, 900_000);
    for (let n = 0; n < 5_000; n++) {
      await cache.increment(`junk ${n}`, 1, 900_000);
      await cache.set(`junk ${n}`, n, 900_000);
    }
    await cache.delete("login:ann");
    nowMs += 899_999;
    assert.deepEqual(await cache.increment("login:ann", 1, 900_000), { count: 11, expiresInMs: 1 });
    nowMs += 1_800_000;
    assert.deepEqual(await cache.increment("login:ann", 1, 900_000), { count: 1, expiresInMs: 900_000 });
  });

  it("S18: while all are taken, further ones share, count too much and never too little, until the shared one expires", () => {
    let nowMs = 0;
    const counters = new Counters({ max: 4, clock: () => nowMs });
    const increment = (key: string) => counters.increment(key, 1, 1_000).count;
    for (const key of ["a", "b", "c", "d"]) assert.equal(increment(key), 1);
    nowMs = 500;
    const counts = new Map<string, number>();
    for (let round = 1; round <= 3; round++)
      for (let n = 0; n < 20; n++) {
        const count = increment(`late ${n}`);
        assert.ok(count >= round && count > (counts.get(`late ${n}`) ?? 0));
        counts.set(`late ${n}`, count);
      }
    nowMs = 1_200;
    for (let n = 0; n < 20; n++) assert.ok(increment(`late ${n}`) > counts.get(`late ${n}`)!, "also when there is room again");
    nowMs = 2_199;
    for (let n = 0; n < 20; n++) assert.ok(increment(`late ${n}`) > 1, "for as long as each of its keys lives");
    nowMs = 4_500;
    assert.equal(increment("late 0"), 1);
    assert.deepEqual(counters.increment("none", 0, 1_000), { count: 0, expiresInMs: 0 });
  });

  it("S18: what was taken back, and counters of another kind, push none into sharing", async () => {
    const cache = createMemoryCache({ maxEntries: 100, clock: () => 0 });
    for (let n = 0; n < 5_000; n++) {
      await cache.increment(`rate:${n}`, 1, 900_000);
      await cache.increment(`login:${n}`, 1, 900_000);
      await cache.increment(`login:${n}`, -1, 900_000);
    }
    for (let n = 0; n < 100; n++) assert.equal((await cache.increment(`login:late ${n}`, 1, 900_000)).count, 1);
  });

  it("S16: many times to live cost no memory that stays", () => {
    let nowMs = 0;
    const counters = new Counters({ max: 1_000, clock: () => nowMs });
    for (let n = 0; n < 100_000; n++) {
      nowMs += 10;
      assert.equal(counters.increment(`key ${n}`, 1, 1_000 + (n % 7)).count, 1, "the expired ones leave");
    }
  });
});
