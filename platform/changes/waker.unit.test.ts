import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Waker } from "./waker.ts";

const long = 60_000;

describe("waker", () => {
  it("a signal ends a wait, also one that came before it, and is cleared", async () => {
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
    const unlimited = waker.wait();
    waker.raise();
    await unlimited;
  });

  it("a signal during a pause stays for the next wait, and closing ends every wait and pause", async () => {
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

  it("hurrying ends a wait and the pause after it, or the pause under way, and no later one", async () => {
    const waker = new Waker();
    const waiting = waker.wait(long);
    waker.hurry();
    await waiting;
    await waker.pause(long);
    const pausing = waker.pause(long);
    waker.hurry();
    await pausing;
    await waker.wait(long);
    const before = performance.now();
    await waker.pause(20);
    assert.ok(performance.now() - before > 15);
  });
});
