import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { backoffMs } from "./backoff.ts";

describe("backoffMs", () => {
  it("doubles from the first pause up to the longest, however many failures there were", () => {
    const backoff = { pauseMsMin: 100, pauseMsMax: 1_000 };
    const pauses = [1, 2, 3, 4, 5, 6, 2_000].map((failures) => backoffMs(backoff, failures));
    assert.deepEqual(pauses, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
  });

  it("spreads each pause, the longest too, by the jitter's share to either side", () => {
    const backoff = { pauseMsMin: 100, pauseMsMax: 400, jitter: 0.5 };
    const pauseAt = (failures: number, random: number) => backoffMs(backoff, failures, () => random);
    assert.deepEqual([pauseAt(1, 0), pauseAt(1, 0.5), pauseAt(1, 1)], [50, 100, 150]);
    assert.deepEqual([pauseAt(9, 0), pauseAt(9, 0.75), pauseAt(9, 1)], [200, 500, 600]);
  });
});
