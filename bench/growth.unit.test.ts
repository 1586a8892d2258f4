import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { growthOf } from "./growth.ts";

const run = (heapMb: (minute: number) => number) =>
  Array.from({ length: 30 }, (_, minute) => ({ hours: (minute + 1) / 60, orders: (minute + 1) * 100, heapMb: heapMb(minute) }));

describe("how a heap grows", () => {
  it("DEV-13: is the slope after the warm-up, by time and by orders", () => {
    const { mbPerHour, kbPerThousandOrders } = growthOf(run((minute) => 40 + minute));
    assert.deepEqual([Math.round(mbPerHour), Math.round(kbPerThousandOrders)], [60, 10_000]);
  });

  it("DEV-13: is nothing when only the warm-up grew, and little when it goes up and down", () => {
    assert.ok(Math.abs(growthOf(run((minute) => Math.min(minute, 13))).mbPerHour) < 1e-9);
    assert.ok(Math.abs(growthOf(run((minute) => 40 + (minute % 2))).mbPerHour) < 1);
  });

  it("refuses to guess from one sample", () => {
    assert.throws(() => growthOf(run(() => 40).slice(0, 1)), /too short/);
  });
});
