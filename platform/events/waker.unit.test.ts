import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Waker } from "./waker.ts";

const long = 60_000;

describe("waker", () => {
  it("ends a wait by a signal, one that came before it included, and uses it up", async () => {
    const waker = new Waker();
    waker.raise();
    await waker.wait(long);
    const waiting = waker.wait(long);
    waker.raise();
    await waiting;
    await waker.wait(1);
    waker.raise();
    waker.lower();
    await waker.wait(1);
  });

  it("keeps a signal that comes during a pause, and ends everything when closed", async () => {
    const waker = new Waker();
    const pausing = waker.pause(5);
    waker.raise();
    await pausing;
    await waker.wait(long);
    const [waiting] = [waker.wait(long)];
    waker.close();
    await waiting;
    await waker.wait(long);
    await waker.pause(long);
    assert.ok(waker.closed);
  });
});
