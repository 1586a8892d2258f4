import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RetryBudget } from "./retry-budget.ts";

describe("retry budget", () => {
  it("RES-02: lets a burst through, then one retry for ten calls: the extra load is a tenth", () => {
    const budget = new RetryBudget();
    let retries = 0;
    for (let n = 0; n < 10_000; n++) {
      budget.called();
      while (budget.take()) retries++;
    }
    assert.ok(retries >= 1_010 && retries <= 1_020, `${retries} retries`);
  });

  it("RES-02: saves no more than its maximum, however many calls succeed", () => {
    const budget = new RetryBudget({ share: 0.5, max: 3 });
    for (let n = 0; n < 100; n++) budget.called();
    assert.deepEqual([budget.take(), budget.take(), budget.take(), budget.take()], [true, true, true, false]);
  });
});
