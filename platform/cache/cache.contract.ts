import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { Cache } from "./cache.ts";

export interface CacheContract {
  /** Gives a cache; the same engine may be shared, each test has keys of its own. */
  readonly open: () => Promise<Cache>;
  /** Gives another process's view of the same cache: the same one, where there is but one process. */
  readonly openOther: () => Promise<Cache>;
  /** Lets time pass for that cache: a clock moved by hand, or real time waited for. */
  readonly pass: (ms: number) => Promise<void>;
  /** A short life: 40 ms unless said otherwise. Longer than a few calls take. */
  readonly shortMs?: number;
}

const long = 60_000;
const kept = { ttlMs: long };

/** What every engine of the cache seam must do. */
export function cacheContract(name: string, { open, openOther, pass, shortMs: short = 40 }: CacheContract): void {
  describe(`cache: ${name}`, () => {
    it("gives back JSON values until they expire or are deleted", async () => {
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

    it("lets values of the same key live as long as was said last", async () => {
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

    it("loads what is not kept, and keeps it until it expires", async () => {
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

    it("gives those who load at the same time what was kept first", async () => {
      const [cache, other] = [await open(), await openOther()];
      const key = randomUUID();
      const all = Array.from({ length: 10 }, () => Promise.withResolvers<void>());
      const values = all.map(({ resolve }, nth) =>
        (nth % 2 === 0 ? cache : other).through(key, kept, async () => {
          resolve();
          await Promise.all(all.map(({ promise }) => promise));
          return nth;
        }),
      );
      const first = await values[0];
      assert.deepEqual(new Set(await Promise.all(values)), new Set([first]));
      assert.equal(await other.get(key), first);
    });

    it("does not keep that there is nothing, nor a failure to load", async () => {
      const cache = await open();
      const key = randomUUID();
      await assert.rejects(
        cache.through(key, kept, () => Promise.reject(new Error("not loaded"))),
        /not loaded/,
      );
      assert.equal(await cache.through<string>(key, kept, async () => undefined), undefined);
      assert.equal(await cache.through<string>(key, kept, async () => "there"), "there");
      assert.equal(await cache.get(key), "there");
    });

    it("does not keep what was being loaded when it was deleted, set or replaced, whoever did", async () => {
      const [cache, other] = [await open(), await openOther()];
      const changes: readonly ((key: string) => Promise<unknown>)[] = [
        (key) => other.delete(key),
        (key) => other.delete(key, key).then(() => other.get(key)),
        (key) => other.set(key, "new", long),
        (key) => other.replaceOlder([{ key, version: 2, value: "new" }], long),
        // Another load that began after the change is kept.
        (key) => other.delete(key).then(() => other.through(key, kept, async () => "new")),
      ];
      for (const change of changes) {
        const key = randomUUID();
        const loading = Promise.withResolvers<string>();
        const asked = Promise.withResolvers<void>();
        const early = cache.through(key, kept, () => (asked.resolve(), loading.promise));
        await asked.promise;
        await change(key);
        loading.resolve("old");
        // What another has put there meanwhile is newer.
        assert.equal(await early, (await cache.get(key)) ?? "old");
        assert.notEqual(await cache.get(key), "old");
        assert.equal(await cache.through(key, kept, async () => "new"), "new");
        assert.equal(await other.get(key), "new");
      }
    });

    it("gives no reader an older value than another was told of, whatever overlaps", async () => {
      const caches = [await open(), await openOther()];
      const key = randomUUID();
      let stored = 0;
      let told = 0;
      const writer = async (): Promise<void> => {
        for (let change = 1; change <= 100; change++) {
          stored = change;
          await caches[change % 2]!.delete(key);
          told = change;
        }
      };
      const reader = async (cache: Cache): Promise<void> => {
        while (told < 100) {
          const before = told;
          const value = await cache.through(key, kept, async () => {
            const seen = stored;
            await new Promise((resolve) => setImmediate(resolve));
            return seen;
          });
          assert(value !== undefined && value >= before, `${value} after ${before}`);
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      await Promise.all([writer(), ...caches.flatMap((cache) => [reader(cache), reader(cache), reader(cache)])]);
      assert.equal(await caches[0]!.through(key, kept, async () => stored), 100);
    });

    it("replaces older values by newer ones, in whichever order they come, and puts none where none is", async () => {
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
      assert.equal((await cache.increment(key, 5, short)).count, 5);
      await pass(short / 2);
      const later = await cache.increment(key, 2, long);
      // On real time the first window may be over by now; it is never prolonged.
      assert(later.count === 7 ? later.expiresInMs <= short : later.count === 2);
      await cache.delete(key);
      await cache.increment(key, 1, short);
      await pass(short + 20);
      assert.equal((await cache.increment(key, 1, long)).count, 1);
    });

    it("lets one of twenty hold a lock, with a fence that rises", async () => {
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
      await held[0]!.release(); // not ours any more: frees nothing
      assert.equal(await cache.lock(key, long), undefined);
      await next.release();
    });

    it("frees a lock whose time is over, and a late release does not hurt its next holder", async () => {
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

    it("delivers messages in order to all who listen to the channel", async () => {
      const cache = await open();
      const [channel, other] = [randomUUID(), randomUUID()];
      const first = collect(3);
      const second = collect(3);
      await cache.subscribe(channel, first.heard);
      await cache.subscribe(channel, second.heard);
      await cache.publish(other, "not for them");
      for (const message of [{ order: "ord_1", status: "PAID" }, 2, "three"]) await cache.publish(channel, message);
      assert.deepEqual(await first.all, [{ order: "ord_1", status: "PAID" }, 2, "three"]);
      assert.deepEqual(await second.all, [{ order: "ord_1", status: "PAID" }, 2, "three"]);
    });

    it("delivers what another process says, once, also on channels that several listen to", async () => {
      const [cache, other] = [await open(), await openOther()];
      const channels = Array.from({ length: 10 }, () => randomUUID());
      const heard = channels.map(() => collect(2));
      await Promise.all(channels.map((channel, at) => cache.subscribe(channel, heard[at]!.heard)));
      for (const word of ["one", "two"]) await Promise.all(channels.map((channel) => other.publish(channel, `${channel} ${word}`)));
      for (const [at, { all }] of heard.entries()) assert.deepEqual(await all, [`${channels[at]} one`, `${channels[at]} two`]);
    });

    it("delivers nothing after the subscription has ended", async () => {
      const cache = await open();
      const channel = randomUUID();
      const ended: unknown[] = [];
      const end = await cache.subscribe(channel, (message) => ended.push(message));
      const going = collect(1);
      await cache.subscribe(channel, going.heard);
      await end();
      await end();
      await cache.publish(channel, "later");
      await going.all;
      assert.deepEqual(ended, []);
    });
  });
}

function collect(count: number): { heard: (message: unknown) => void; all: Promise<unknown[]> } {
  const { promise, resolve } = Promise.withResolvers<unknown[]>();
  const messages: unknown[] = [];
  return { all: promise, heard: (message) => void (messages.push(message) === count && resolve(messages)) };
}
