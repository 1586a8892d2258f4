import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { median, pairedRatios, positiveNumber, ratio, spreadOf, wholeNumbers } from "./ratios.ts";

describe("ratios of measurements", () => {
  it("TST-10: the median is the middle value, or the mean of the two in the middle, in whatever order they come", () => {
    assert.deepEqual([median([9, 1, 5]), median([4, 1, 2, 100]), median([7])], [5, 3, 7]);
    assert.throws(() => median([]), /nothing/);
  });

  it("TST-10: a spread is the median with the smallest and the largest value", () => {
    assert.deepEqual(spreadOf([3, 10, 2]), { median: 3, min: 2, max: 10 });
  });

  it("TST-10: ratios are taken turn by turn, so that a machine that gets slower does not change them", () => {
    // The machine halves its speed between turns; this one is always a quarter faster.
    assert.deepEqual(pairedRatios([125, 62.5, 31.25], [100, 50, 25]), { median: 1.25, min: 1.25, max: 1.25 });
    assert.deepEqual(pairedRatios([30, 10, 20], [10, 10, 10]), { median: 2, min: 1, max: 3 });
  });

  it("refuses a reference of nothing, and lists that are not pairs", () => {
    for (const reference of [0, -1, NaN]) assert.throws(() => ratio(1, reference), /must be above 0/);
    assert.throws(() => pairedRatios([1, 2], [1]), /not pairs/);
  });

  it("reads lists of whole numbers and names the option when there is anything else", () => {
    assert.deepEqual(wholeNumbers("1,16, 256", "--shoppers"), [1, 16, 256]);
    for (const text of ["", "0", "1,,2", "1.5", "-1", "many"])
      assert.throws(() => wholeNumbers(text, "--shoppers"), /^Error: --shoppers: /);
  });

  it("reads numbers above 0 and names the option when there is anything else", () => {
    assert.equal(positiveNumber("0.5", "--seconds"), 0.5);
    for (const text of ["", "0", "-1", "Infinity", "long"]) assert.throws(() => positiveNumber(text, "--seconds"), /^Error: --seconds: /);
  });
});
