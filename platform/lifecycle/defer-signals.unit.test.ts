import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { setImmediate as turn } from "node:timers/promises";
import { describe, it } from "node:test";
import { deferSignals } from "./defer-signals.ts";

function setup() {
  const exits: number[] = [];
  const target = Object.assign(new EventEmitter(), { exit: (code: number) => exits.push(code) });
  return { target, exits, release: deferSignals(target) };
}

describe("deferSignals", () => {
  it("delivers a signal when it is released, to who listens by then", async () => {
    const { target, exits, release } = setup();
    const received: unknown[] = [];
    target.emit("SIGTERM", "SIGTERM");
    release();
    target.on("SIGTERM", (signal) => received.push(signal));
    await turn();
    assert.deepEqual([received, exits], [["SIGTERM"], []]);
  });

  it("exits with the signal's code when nobody listens, and on a second signal at once", async () => {
    const { target, exits, release } = setup();
    target.emit("SIGINT", "SIGINT");
    target.emit("SIGTERM", "SIGTERM");
    assert.deepEqual(exits, [143]);
    release();
    await turn();
    assert.deepEqual(exits, [143, 130]);
  });

  it("leaves nothing behind without a signal", async () => {
    const { target, exits, release } = setup();
    release();
    await turn();
    assert.deepEqual([target.eventNames(), exits], [[], []]);
  });
});
