import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { Cache } from "./cache.ts";

export interface CacheContract {
  /** Opens a cache; the engine may be shared, because each test has keys of its own. */
  readonly open: () => Promise<Cache>;
  /** Opens another process's cache on the same engine; the same one where there is only one process. */
  readonly openOther: () => Promise<Cache>;
  /** Lets time pass for that cache: moves its clock, or waits. */
  readonly pass: (ms: number) => Promise<void>;
  /** A short time to live: 40 ms by default. Longer than a few calls take. */
  readonly shortMs?: number;
}

const long = 60_000;
const options = { ttlMs: long };

/** What every engine of the cache seam must do. */
export function cacheContract(name: string, { open, openOther, pass, shortMs: short = 40 }: CacheContract): void {
  describe(`cache: ${name}`, () => {
    it("returns JSON values until they expire or are deleted", async () => {
      const cache = await open();
      const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
      const value = { list: [1, "two", null, true], nested: { text: "Grüße 😀" } };
      assert.equal(await cache.get(a), undefined);
      await cache.set(a, value, long);
      await cache.set(b, "text", long);
      await cache.set(c, 0, short);
      assert.deepEqual(await cache.get(a), value);
      assert.equal(await cache.get(c), 0);
      await pass(short + 20);
      assert.equal(await cache.get(c), undefined);
      await cache.set(a, { list: [] }, long);
      assert.deepEqual(await cache.get(a), { list: [] });
      await cache.delete(a, b, c);
      assert.equal(await cache.get(a), undefined);
      assert.equal(await cache.get(b), undefined);
      await cache.delete();
    });

    it("applies the time to live of the last write of a key", async () => {
      const cache = await open();
      const key = randomUUID();
      await cache.set(key, "short", short);
      await cache.set(key, "long", long);
      await pass(short + 20);
      assert.equal(await cache.get(key), "long");
      await cache.set(key, "short", short);
      await pass(short + 20);
      assert.equal(await cache.get(key), undefined);
    });

    it("deletes many keys at once, for all", async () => {
      const [cache, other] = [await open(), await openOther()];
      const keys = Array.from({ length: 100 }, () => randomUUID());
      await Promise.all(keys.map((key, at) => cache.set(key, at, long)));
      assert.equal(await other.get(keys[99]!), 99);
      await other.delete(...keys);
      assert.deepEqual(
        await Promise.all(keys.map((key) => cache.get(key))),
        keys.map(() => undefined),
      );
    });

    it("loads a value that is not stored, and stores it until it expires", async () => {
      const [cache, other] = [await open(), await openOther()];
      const key = randomUUID();
      let loads = 0;
      const read = (from: Cache) => from.through(key, { ttlMs: short }, async () => ({ load: ++loads }));
      assert.deepEqual([await read(cache), await read(other), await cache.get(key)], [{ load: 1 }, { load: 1 }, { load: 1 }]);
      await pass(short + 20);
      assert.deepEqual([await read(other), await read(cache)], [{ load: 2 }, { load: 2 }]);
      await cache.delete(key);
      assert.deepEqual(await read(other), { load: 3 });
    });

    it("gives concurrent loads the value that was stored first", async () => {
      const [cache, other] = [await open(), await openOther()];
      const key = randomUUID();
      const all = Array.from({ length: 10 }, () => Promise.withResolvers<void>());
      const values = all.map(({ resolve }, nth) =>
        (nth % 2 === 0 ? cache : other).through(key, options, async () => {
          resolve();
          await Promise.all(all.map(({ promise }) => promise));
          return nth;
        }),
      );
      const first = await values[0];
      assert.deepEqual(new Set(await Promise.all(values)), new Set([first]));
      assert.equal(await other.get(key), first);
    });

    it("stores neither undefined nor a failure to load", async () => {
      const cache = await open();
      const key = randomUUID();
      await assert.rejects(
        cache.through(key, options, () => Promise.reject(new Error("not loaded"))),
        /not loaded/,
      );
      assert.equal(await cache.through<string>(key, options, async () => undefined), undefined);
      assert.equal(await cache.through<string>(key, options, async () => "there"), "there");
      assert.equal(await cache.get(key), "there");
    });

    it("does not store a value that was being loaded when its key was deleted, set or replaced, by any process", async () => {
      const [cache, other] = [await open(), await openOther()];
      const changes: readonly ((key: string) => Promise<unknown>)[] = [
        (key) => other.delete(key),
        (key) => other.delete(key, key).then(() => other.get(key)),
        (key) => other.set(key, "new", long),
        (key) => other.replaceOlder([{ key, version: 2, value: "new" }], long),
        // The value of a load that began after the change is stored.
        (key) => other.delete(key).then(() => other.through(key, options, async () => "new")),
      ];
      for (const change of changes) {
        const key = randomUUID();
        const loading = Promise.withResolvers<string>();
        const loadStarted = Promise.withResolvers<void>();
        const early = cache.through(key, options, () => (loadStarted.resolve(), loading.promise));
        await loadStarted.promise;
        await change(key);
        loading.resolve("old");
        // A value that another process has stored meanwhile is newer.
        assert.equal(await early, (await cache.get(key)) ?? "old");
        assert.notEqual(await cache.get(key), "old");
        assert.equal(await cache.through(key, options, async () => "new"), "new");
        assert.equal(await other.get(key), "new");
      }
    });

    it("gives no reader a value older than a confirmed change", async () => {
      const caches = [await open(), await openOther()];
      const key = randomUUID();
      let stored = 0;
      let confirmed = 0;
      const writer = async (): Promise<void> => {
        for (let change = 1; change <= 100; change++) {
          stored = change;
          await caches[change % 2]!.delete(key);
          confirmed = change;
        }
      };
      const reader = async (cache: Cache): Promise<void> => {
        while (confirmed < 100) {
          const before = confirmed;
          const value = await cache.through(key, options, async () => {
            const seen = stored;
            await new Promise((resolve) => setImmediate(resolve));
            return seen;
          });
          assert(value !== undefined && value >= before, `${value} after ${before}`);
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await Promise.all([writer(), ...caches.flatMap((cache) => [reader(cache), reader(cache), reader(cache)])]);
      assert.equal(await caches[0]!.through(key, options, async () => stored), 100);
    });

    it("replaces older values by newer ones, in any order, and writes none where none is stored", async () => {
      const [cache, other] = [await open(), await openOther()];
      const [a, b, none] = [randomUUID(), randomUUID(), randomUUID()];
      const versioned = { ttlMs: long, version: ({ version }: { version: number }) => version };
      const value = (version: number) => ({ version, text: `a|b?${version}` });
      await cache.through(a, versioned, async () => value(5));
      await cache.through(b, versioned, async () => value(10));
      const at = (key: string, version: number) => ({ key, version, value: value(version) });
      await other.replaceOlder([at(a, 7), at(b, 9), at(none, 3)], long);
      assert.deepEqual([await cache.get(a), await cache.get(b), await cache.get(none)], [value(7), value(10), undefined]);
      await Promise.all(
        [12, 9, 11, 8, 100, 99].map((version, nth) => (nth % 2 === 0 ? cache : other).replaceOlder([at(a, version)], long)),
      );
      assert.deepEqual(await cache.get(a), value(100));
      await cache.replaceOlder([at(a, 101)], short);
      await pass(short + 20);
      assert.equal(await cache.get(a), undefined);
      await cache.replaceOlder([], long);
    });

    it("counts in windows that begin with the first change", async () => {
      const cache = await open();
      const key = randomUUID();
      const other = await openOther();
      const counts = await Promise.all(Array.from({ length: 50 }, (_, nth) => (nth % 2 === 0 ? cache : other).increment(key, 1, long)));
      assert.deepEqual(
        counts.map(({ count }) => count).toSorted((x, y) => x - y),
        Array.from({ length: 50 }, (_, n) => n + 1),
      );
      for (const { expiresInMs } of counts) assert(expiresInMs > 0 && expiresInMs <= long);
      await cache.delete(key);
      assert.equal((await cache.increment(key, 5, short)).count, 55, "nothing removes a counter");
      const next = randomUUID();
      assert.deepEqual(await cache.increment(next, 0, long), { count: 0, expiresInMs: 0 });
      assert.equal((await cache.increment(next, 5, short)).count, 5);
      await pass(short / 2);
      const later = await cache.increment(next, 2, long);
      // In real time the first window may be over by now; it is never prolonged.
      assert(later.count === 7 ? later.expiresInMs <= short : later.count === 2);
      const last = randomUUID();
      await cache.increment(last, 1, short);
      await pass(short + 20);
      assert.equal((await cache.increment(last, 1, long)).count, 1);
    });

    it("subtracts from a counter until it is 0: what is taken back twice, or late, is no credit", async () => {
      const cache = await open();
      const key = randomUUID();
      assert.deepEqual(await cache.increment(key, -3, long), { count: 0, expiresInMs: 0 }, "of none");
      assert.deepEqual(await cache.increment(key, 0, long), { count: 0, expiresInMs: 0 }, "which makes none");
      await cache.increment(key, 2, long);
      assert.deepEqual(await cache.increment(key, -5, long), { count: 0, expiresInMs: 0 });
      assert.equal((await cache.increment(key, 1, long)).count, 1);
    });

    it("gives a lock to one of twenty, with a fence that rises", async () => {
      const cache = await open();
      const key = randomUUID();
      const other = await openOther();
      const taken = await Promise.all(Array.from({ length: 20 }, (_, nth) => (nth % 2 === 0 ? cache : other).lock(key, long)));
      const held = taken.filter((lock) => lock !== undefined);
      assert.equal(held.length, 1);
      assert.equal(await cache.lock(key, long), undefined);
      await held[0]!.release();
      const next = await cache.lock(key, long);
      assert(next !== undefined && next.fence > held[0]!.fence);
      await held[0]!.release(); // no longer its holder: releases nothing
      assert.equal(await cache.lock(key, long), undefined);
      await next.release();
    });

    it("releases an expired lock, and a late release does not affect its next holder", async () => {
      const cache = await open();
      const key = randomUUID();
      const late = await cache.lock(key, short);
      assert(late !== undefined);
      await pass(short + 20);
      const next = await cache.lock(key, long);
      assert(next !== undefined && next.fence > late.fence);
      await late.release();
      assert.equal(await cache.lock(key, long), undefined);
      await next.release();
      await cache.delete(key);
      const last = await cache.lock(key, long);
      assert(last !== undefined && last.fence > next.fence);
      assert(Number.isSafeInteger(last.fence));
      await last.release();
    });

    it("delivers messages in order to all subscribers of the channel", async () => {
      const cache = await open();
      const [channel, other] = [randomUUID(), randomUUID()];
      const first = collect(3);
      const second = collect(3);
      await cache.subscribe(channel, first.listener);
      await cache.subscribe(channel, second.listener);
      await cache.publish(other, "not for them");
      for (const message of [{ order: "ord_1", status: "PAID" }, 2, "three"]) await cache.publish(channel, message);
      assert.deepEqual(await first.all, [{ order: "ord_1", status: "PAID" }, 2, "three"]);
      assert.deepEqual(await second.all, [{ order: "ord_1", status: "PAID" }, 2, "three"]);
    });

    it("delivers the messages of another process once, on many channels", async () => {
      const [cache, other] = [await open(), await openOther()];
      const channels = Array.from({ length: 10 }, () => randomUUID());
      const collected = channels.map(() => collect(2));
      await Promise.all(channels.map((channel, at) => cache.subscribe(channel, collected[at]!.listener)));
      for (const word of ["one", "two"]) await Promise.all(channels.map((channel) => other.publish(channel, `${channel} ${word}`)));
      for (const [at, { all }] of collected.entries()) assert.deepEqual(await all, [`${channels[at]} one`, `${channels[at]} two`]);
    });

    it("delivers nothing after the subscription has ended", async () => {
      const cache = await open();
      const channel = randomUUID();
      const ended: unknown[] = [];
      const end = await cache.subscribe(channel, (message) => ended.push(message));
      const other = collect(1);
      await cache.subscribe(channel, other.listener);
      await end();
      await end();
      await cache.publish(channel, "later");
      await other.all;
      assert.deepEqual(ended, []);
    });
  });
}

function collect(count: number): { listener: (message: unknown) => void; all: Promise<unknown[]> } {
  const { promise, resolve } = Promise.withResolvers<unknown[]>();
  const messages: unknown[] = [];
  return { all: promise, listener: (message) => void (messages.push(message) === count && resolve(messages)) };
}
