import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createWakeups } from "./wakeups.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

/** The notifications of a database, and nothing else of it. */
function notifications() {
  const sent: { payload: string; atMs: number }[] = [];
  const listeners = new Set<(payload: string | undefined) => void>();
  const deliver = (payload: string | undefined) => listeners.forEach((listener) => listener(payload));
  const database = {
    name: "things",
    listen: async (_channel: string, listener: (payload: string | undefined) => void) => {
      listeners.add(listener);
      return async () => void listeners.delete(listener);
    },
    notify: async (_channel: string, payload = "") => {
      sent.push({ payload, atMs: performance.now() });
      deliver(payload);
    },
  } as Partial<Database> as Database;
  return { database, sent, deliver, listeners };
}

describe("wakeups", () => {
  it("wakes listeners in this process at once, and in others with few notifications; the last signal is never lost", async () => {
    const { database, sent } = notifications();
    const [here, there] = [createWakeups({ log }), createWakeups({ log })];
    await here.attach("things", database);
    await there.attach("things", database);
    let [signalsHere, signalsThere, signalsOfOthers] = [0, 0, 0];
    const unlisten = here.listen("things", () => signalsHere++);
    there.listen("things", () => signalsThere++);
    here.listen("others", () => signalsOfOthers++);
    for (let signal = 0; signal < 100; signal++) here.signal("things");
    assert.equal(signalsHere, 100);
    assert.equal(sent.length, 1);
    await here.detach("things");
    assert.equal(sent.length, 2);
    assert.deepEqual([signalsThere, signalsOfOthers], [2, 0]);
    unlisten();
    here.signal("things");
    assert.equal(signalsHere, 100);
    await there.detach("things");
  });

  it("wakes only those who listen to one of the types, in this process and in others", async () => {
    const { database, sent, deliver } = notifications();
    const [here, there] = [createWakeups({ log }), createWakeups({ log })];
    await here.attach("things", database);
    await there.attach("things", database);
    const woken: string[] = [];
    for (const [where, wakeups] of Object.entries({ here, there })) {
      wakeups.listen("things", () => woken.push(`${where}: made`), new Set(["made", "mended"]));
      wakeups.listen("things", () => woken.push(`${where}: lost`), new Set(["lost"]));
      wakeups.listen("things", () => woken.push(`${where}: any`));
    }
    const wokenBy = (work: () => void) => {
      woken.length = 0;
      work();
      return woken.toSorted();
    };
    assert.deepEqual(
      wokenBy(() => here.signal("things", new Set(["made"]))),
      ["here: any", "here: made", "there: any", "there: made"],
    );
    // These two share a notification, which names the types of both.
    assert.deepEqual(
      wokenBy(() => here.signal("things", new Set(["other"]))),
      ["here: any"],
    );
    here.signal("things", new Set(["lost"]));
    woken.length = 0;
    await here.detach("things");
    assert.deepEqual(woken.toSorted(), ["there: any", "there: lost"]);
    assert.equal(sent.length, 2);
    for (const payload of ["another-process things", undefined])
      assert.deepEqual(
        wokenBy(() => deliver(payload)),
        ["there: any", "there: lost", "there: made"],
      );
    await there.detach("things");
  });

  it("leaves types out of a notification that would be too long", async () => {
    const { database, sent } = notifications();
    const wakeups = createWakeups({ log });
    await wakeups.attach("things", database);
    wakeups.signal("things", new Set(Array.from({ length: 1_000 }, (_, nth) => `things.thing.changed-${nth}`)));
    assert.match(sent[0]!.payload, /^\S+ things$/);
    await wakeups.detach("things");
  });

  it("leaves the configured time between notifications", async () => {
    const { database, sent } = notifications();
    const wakeups = createWakeups({ log, notifyMs: 15 });
    await wakeups.attach("things", database);
    const { promise, resolve } = Promise.withResolvers<void>();
    wakeups.listen("things", () => sent.length < 4 || resolve());
    const startMs = performance.now();
    const timer = setInterval(() => wakeups.signal("things"), 1);
    await promise;
    clearInterval(timer);
    await wakeups.detach("things");
    // From the start on, because one that was seen late does not move the next; and a timer may fire a millisecond early.
    for (const [nth, { atMs }] of sent.slice(0, 4).entries()) assert.ok(atMs - startMs >= nth * 14, `${nth}: ${atMs - startMs} ms`);
  });

  it("wakes all listeners and calls the publisher when notifications may have been missed", async () => {
    const { database, deliver, listeners } = notifications();
    const wakeups = createWakeups({ log });
    let [signals, reconnected] = [0, 0];
    await wakeups.attach("things", database, () => reconnected++);
    assert.ok(wakeups.isAttached("things") && !wakeups.isAttached("others"));
    wakeups.listen("things", () => signals++);
    deliver(undefined);
    deliver("another-process others");
    deliver("another-process things");
    assert.deepEqual([signals, reconnected], [2, 1]);
    await assert.rejects(wakeups.attach("things", database), /already/);
    await wakeups.detach("things");
    await wakeups.detach("things");
    assert.equal(listeners.size, 0);
  });
});
