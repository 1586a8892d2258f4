import assert from "node:assert/strict";
import { it } from "node:test";
import { createChanges } from "../changes/changes.ts";
import type { Changes } from "../changes/changes.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ConcurrencyLimits } from "./concurrency-limiter.ts";
import { ReadingService } from "./test-reading.ts";
import { implement } from "./rpc.ts";
import type { Route } from "./rpc.ts";
import { callOf, refusalOf, turns } from "./test-greeter.ts";
import type { OpenRpc } from "./test-greeter.ts";
import { waiting } from "./waiting.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

/** One thing that changes, and the service that reads it. It is pending until its version is 3. */
export function readThing({ onRead = () => undefined }: { readonly onRead?: (thing: { change(): void }) => void } = {}) {
  let version = 1;
  let reads = 0;
  let read = Promise.withResolvers<void>();
  let watches = 0;
  let unwatched = Promise.withResolvers<void>();
  const changes: Changes = createChanges({ versionsOf: async () => [{ id: "tea", version }], log });
  const change = () => {
    version++;
    changes.announce(["tea"]);
  };
  const route: Route = implement(ReadingService, {
    read: waiting({
      read: async ({ sku }) => {
        reads++;
        const reply = { id: sku, version };
        onRead({ change });
        read.resolve();
        return reply;
      },
      isPending: (reply) => reply.version < 3,
      watch: ({ sku }) => {
        watches++;
        const watch = changes.watch(sku);
        const { close: leave } = watch;
        const close = () => {
          leave();
          if (--watches === 0) unwatched.resolve();
        };
        return Object.assign(watch, { close });
      },
    }),
  });
  return {
    route,
    change,
    reads: () => reads,
    /** Resolves when it is read the next time. */
    nextRead: () => (read = Promise.withResolvers()).promise,
    /** Resolves when nobody watches it any more. */
    unwatched: async () => {
      if (watches > 0) await (unwatched = Promise.withResolvers()).promise;
    },
  };
}

const wait = (forMs: number, afterVersion?: number) => ({
  sku: "tea",
  wait: { forMs, ...(afterVersion !== undefined && { afterVersion }) },
});

/** Reads that wait for a change: when they end, with what, and what they hold meanwhile. */
export function rpcWaits(open: OpenRpc): void {
  async function openThing(thing: ReturnType<typeof readThing>, limits?: Partial<ConcurrencyLimits>) {
    const rpc = await open({ services: { reading: [thing.route] }, log, ...(limits && { limits }) });
    return { rpc, client: rpc.clientsFor("gateway").of("reading", ReadingService), [Symbol.asyncDispose]: () => rpc.stop() };
  }

  it("ORD-06: a read waits for the next change of what is pending", async () => {
    const thing = readThing();
    await using app = await openThing(thing);
    const read = thing.nextRead();
    const reply = app.client.read(wait(10_000), callOf());
    await read;
    thing.change();
    assert.deepEqual([(await reply).version, thing.reads()], [2, 2]);
    assert.equal((await app.client.read({ sku: "tea" }, callOf())).version, 2, "without a wait it reads at once");
    assert.equal((await app.client.read(wait(0), callOf())).version, 2);
    await thing.unwatched();
  });

  it("ORD-06: a read that waits misses no change that comes while it reads", async () => {
    let changes = 0;
    const thing = readThing({ onRead: ({ change }) => changes++ === 0 && change() });
    await using app = await openThing(thing);
    assert.equal((await app.client.read(wait(10_000), callOf())).version, 2);
  });

  it("ORD-06: a read waits for neither what is final nor another version than the known one", async () => {
    const thing = readThing();
    await using app = await openThing(thing);
    assert.equal((await app.client.read(wait(10_000, 7), callOf())).version, 1);
    thing.change();
    assert.equal((await app.client.read(wait(10_000, 1), callOf())).version, 2);
    thing.change();
    assert.equal((await app.client.read(wait(10_000), callOf())).version, 3);
    const read = thing.nextRead();
    const known = app.client.read(wait(10_000, 3), callOf());
    await read;
    thing.change();
    assert.equal((await known).version, 4, "what is final may change nevertheless");
  });

  it("ORD-06: a read whose wait is over replies with what is there", async () => {
    const thing = readThing();
    await using app = await openThing(thing);
    assert.equal((await app.client.read(wait(20), callOf())).version, 1);
    assert.equal((await app.client.read(wait(20, 1), callOf())).version, 1);
    const refusal = await refusalOf(app.client.read(wait(10_001), callOf()));
    assert.deepEqual([refusal.reason, refusal.fields.map(({ field }) => field)], ["INVALID_REQUEST", ["wait.forMs"]]);
  });

  it("RES-05: reads that wait hold no slot of the limiter", async () => {
    const thing = readThing();
    await using app = await openThing(thing, { inFlight: 1, waiting: 1_000, waitMs: 60_000 });
    const replies = Array.from({ length: 100 }, () => app.client.read(wait(10_000), callOf()));
    while (thing.reads() < 100) await turns(1);
    assert.equal((await app.client.read({ sku: "tea" }, callOf())).version, 1);
    thing.change();
    for (const reply of replies) assert.equal((await reply).version, 2);
    assert.equal(thing.reads(), 201);
  });

  it("RES-03: a read whose caller disconnects waits no longer", async () => {
    const thing = readThing();
    await using app = await openThing(thing);
    const disconnected = new AbortController();
    const read = thing.nextRead();
    const reply = app.client.read(wait(10_000), callOf({ signal: disconnected.signal })).catch(() => undefined);
    await read;
    disconnected.abort();
    await thing.unwatched();
    await reply;
    assert.equal(thing.reads(), 1);
  });
}
