import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { Scheduler } from "./scheduler.ts";

const start = Date.UTC(2026, 2, 1);

function openLoop(work: (nowMs: number) => Promise<number | undefined>) {
  const clock = new ManualClock(new Date(start));
  const ran: number[] = [];
  const warnings: string[] = [];
  const silent = (): void => undefined;
  const log: Logger = { debug: silent, info: silent, warn: (_, message) => warnings.push(message), error: silent, child: () => log };
  const loop = new Scheduler({
    name: "the work",
    clock,
    log,
    work: async () => {
      const nowMs = clock.now().getTime() - start;
      ran.push(nowMs);
      const nextMs = await work(nowMs);
      return nextMs === undefined ? undefined : new Date(start + nextMs);
    },
  });
  const wakeAt = (ms: number): void => loop.wakeAt(new Date(start + ms));
  const advance = async (ms: number): Promise<void> => {
    clock.advance(ms);
    await loop.idle();
  };
  return { loop, ran, warnings, wakeAt, advance };
}

describe("scheduler", () => {
  it("works at the earliest time that it knows, and at those that the work gives", async () => {
    const { loop, ran, wakeAt, advance } = openLoop((nowMs) => Promise.resolve(nowMs < 300 ? nowMs + 100 : undefined));
    wakeAt(500);
    wakeAt(200);
    wakeAt(300);
    await advance(199);
    assert.deepEqual(ran, []);
    await advance(1);
    await advance(100);
    await advance(10_000);
    assert.deepEqual(ran, [200, 300]);
    wakeAt(0);
    await loop.idle();
    assert.deepEqual(ran, [200, 300, 10_300]);
    await loop.stop();
  });

  it("works again when it is woken while at work", async () => {
    let wake: (() => void) | undefined = () => wakeAt(0);
    const { loop, ran, wakeAt } = openLoop(() => {
      wake?.();
      wake = undefined;
      return Promise.resolve(undefined);
    });
    wakeAt(0);
    await loop.idle();
    assert.deepEqual(ran, [0, 0]);
    await loop.stop();
  });

  it("tries again a second after a failure, and does nothing once it is stopped", async () => {
    const { loop, ran, warnings, wakeAt, advance } = openLoop((nowMs) =>
      nowMs === 0 ? Promise.reject(new Error("unavailable")) : Promise.resolve(undefined),
    );
    wakeAt(0);
    await loop.idle();
    await advance(999);
    await advance(1);
    assert.deepEqual([ran, warnings], [[0, 1_000], ["the work failed and will be tried again"]]);
    await loop.stop();
    await loop.stop();
    wakeAt(0);
    await advance(1);
    assert.equal(ran.length, 2);
  });
});
