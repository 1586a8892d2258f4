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
