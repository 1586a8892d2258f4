import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cache } from "../cache/cache.ts";
import { createMemoryCache } from "../cache/memory.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createChanges } from "./changes.ts";
import type { Watch } from "./changes.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

/** A cache, and how many subscriptions it has. */
function countedCache() {
  const memory = createMemoryCache({ maxEntries: 10 });
  let subscriptions = 0;
  const cache: Cache = {
    ...memory,
    async subscribe(channel, listener) {
      const end = await memory.subscribe(channel, listener);
      subscriptions++;
      return async () => {
        subscriptions--;
        await end();
      };
    },
  };
  return { cache, subscriptions: () => subscriptions };
}

/** Whether the watch has been woken, and not by its own closing. */
async function woken({ waker }: Watch): Promise<boolean> {
  await settled();
  let over = false;
  void waker.wait(60_000).then(() => (over = true));
  await settled();
  return over;
}

/** Lets what is resolved, and messages that are on their way, have their effect. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe("changes", () => {
  const never = async () => [];

  it("NTF-08: a message wakes who watches the thing, in every process, and nobody else", async () => {
    const { cache } = countedCache();
    const process = () => createChanges({ versionsOf: never, messages: { cache, channel: "things.changed" }, log });
    const [here, there] = [process(), process()];
    const watches = [here.watch("tea"), there.watch("tea"), there.watch("tea"), there.watch("coffee")];
    await settled();
    here.announce(["tea", "milk"]);
    assert.deepEqual(await Promise.all(watches.map(woken)), [true, true, true, false]);
    for (const watch of watches) watch.close();
  });

  it("a signal that comes before the wait is not lost, and without messages those in this process are woken", async () => {
    const changes = createChanges({ versionsOf: never, log });
    const watch = changes.watch("tea");
    changes.announce(["tea"]);
    assert.equal(await woken(watch), true);
    watch.close();
  });

  it("SCA-02: a change without a message is found by one statement a second for all that is watched", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const statements: (readonly string[])[] = [];
    const versionsOf = async (ids: readonly string[]) => {
      statements.push(ids);
      return ids.map((id) => ({ id, version: 2 }));
    };
    const changes = createChanges({ versionsOf, log });
    const watches = Array.from({ length: 50 }, (_, nth) => changes.watch(`tea ${nth % 10}`));
    for (const [nth, watch] of watches.entries()) watch.version = nth < 25 ? 1 : 2;
    t.mock.timers.tick(1_000);
    assert.deepEqual([statements.length, statements[0]?.length], [1, 10]);
    const found = await Promise.all(watches.map(woken));
    assert.deepEqual([found.slice(0, 25).every(Boolean), found.slice(25).some(Boolean)], [true, false]);
    for (const watch of watches) watch.close();
  });

  it("polls again after a failure", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let polls = 0;
    const versionsOf = async () => {
      if (++polls === 1) throw new Error("the database is down");
      return [{ id: "tea", version: 2 }];
    };
    const watch = createChanges({ versionsOf, log }).watch("tea");
    watch.version = 1;
    t.mock.timers.tick(1_000);
    await settled();
    t.mock.timers.tick(1_000);
    assert.equal(await woken(watch), true);
    watch.close();
  });

  it("polls and subscribes only while something is watched, and a moment longer", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    let polls = 0;
    const { cache, subscriptions } = countedCache();
    const changes = createChanges({ versionsOf: async () => (polls++, []), messages: { cache, channel: "things.changed" }, log });
    assert.equal(subscriptions(), 0);
    changes.watch("tea").close();
    changes.watch("tea").close();
    await settled();
    assert.equal(subscriptions(), 1, "one after another share a subscription");
    t.mock.timers.tick(1_000);
    await settled();
    assert.deepEqual([polls, subscriptions()], [0, 0]);
    const watch = changes.watch("tea");
    await settled();
    assert.equal(subscriptions(), 1);
    watch.close();
    t.mock.timers.tick(1_000);
    await settled();
    t.mock.timers.tick(10_000);
    assert.deepEqual([polls, subscriptions()], [0, 0]);
  });
});
