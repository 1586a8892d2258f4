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
  const hearers = new Set<(payload: string | undefined) => void>();
  const tell = (payload: string | undefined) => hearers.forEach((heard) => heard(payload));
  const database = {
    name: "things",
    listen: async (_channel: string, heard: (payload: string | undefined) => void) => {
      hearers.add(heard);
      return async () => void hearers.delete(heard);
    },
    notify: async (_channel: string, payload = "") => {
      sent.push({ payload, atMs: performance.now() });
      tell(payload);
    },
  } as Partial<Database> as Database;
  return { database, sent, tell, hearers };
}

describe("wakeups", () => {
  it("wakes listeners here at once, and elsewhere with few notifications; the last signal is never lost", async () => {
    const { database, sent } = notifications();
    const [here, there] = [createWakeups({ log }), createWakeups({ log })];
    await here.attach("things", database);
    await there.attach("things", database);
    let [heardHere, heardThere, heardOther] = [0, 0, 0];
    const unlisten = here.listen("things", () => heardHere++);
    there.listen("things", () => heardThere++);
    here.listen("others", () => heardOther++);
    for (let signal = 0; signal < 100; signal++) here.signal("things");
    assert.equal(heardHere, 100);
    assert.equal(sent.length, 1);
    await here.detach("things");
    assert.equal(sent.length, 2);
    assert.deepEqual([heardThere, heardOther], [2, 0]);
    unlisten();
    here.signal("things");
    assert.equal(heardHere, 100);
    await there.detach("things");
  });

  it("leaves the given time between notifications", async () => {
    const { database, sent } = notifications();
    const wakeups = createWakeups({ log, notifyMs: 15 });
    await wakeups.attach("things", database);
    const { promise, resolve } = Promise.withResolvers<void>();
    wakeups.listen("things", () => sent.length < 4 || resolve());
    const timer = setInterval(() => wakeups.signal("things"), 1);
    await promise;
    clearInterval(timer);
    await wakeups.detach("things");
    // A timer may fire a millisecond early.
    for (const [at, { atMs }] of sent.slice(1, 4).entries()) assert.ok(atMs - sent[at]!.atMs >= 13, `${atMs - sent[at]!.atMs} ms`);
  });

  it("wakes everyone when notifications may have been missed, and tells the publisher", async () => {
    const { database, tell, hearers } = notifications();
    const wakeups = createWakeups({ log });
    let [heard, reconnected] = [0, 0];
    await wakeups.attach("things", database, () => reconnected++);
    assert.ok(wakeups.reaches("things") && !wakeups.reaches("others"));
    wakeups.listen("things", () => heard++);
    tell(undefined);
    tell("another-process others");
    tell("another-process things");
    assert.deepEqual([heard, reconnected], [2, 1]);
    await assert.rejects(wakeups.attach("things", database), /already/);
    await wakeups.detach("things");
    await wakeups.detach("things");
    assert.equal(hearers.size, 0);
  });
});
