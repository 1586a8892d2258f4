import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import type { Cache } from "./cache.ts";

export interface CacheContract {
  /** Gives a cache; the same engine may be shared, each test has keys of its own. */
  readonly open: () => Promise<Cache>;
  /** Lets time pass for that cache: a clock moved by hand, or real time waited for. */
  readonly pass: (ms: number) => Promise<void>;
}

const long = 60_000;
const short = 40;

/** What every engine of the cache seam must do. */
export function cacheContract(name: string, { open, pass }: CacheContract): void {
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

    it("counts in windows that begin with the first change", async () => {
      const cache = await open();
      const key = randomUUID();
      const counts = await Promise.all(Array.from({ length: 50 }, () => cache.increment(key, 1, long)));
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
      const taken = await Promise.all(Array.from({ length: 20 }, () => cache.lock(key, long)));
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
