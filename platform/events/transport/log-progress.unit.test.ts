import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { offsetsText } from "../checkpoint.ts";
import { reachedPosition, remainingRecords } from "./log-progress.ts";

const at = (position: number, offsets = "") => ({ epoch: 1, xid: "10", position: String(position), offsets });

describe("the progress of a partition's subscriber", () => {
  it("counts the records that are left in its own partition, all of them when its offset is of another topic", () => {
    const relayed = at(9, offsetsText("t", [3, 7]));
    assert.deepEqual(
      [at(2, "t 5"), at(2, "t 7"), at(2, "t 9"), at(2, "old 7"), at(2)].map((checkpoint) => remainingRecords(checkpoint, 1, relayed)),
      [2, 0, 0, 7, 7],
    );
  });

  it("is the position relayed once the end of its own partition is passed, however old the last event there is", () => {
    const relayed = at(9, offsetsText("t", [3, 7]));
    assert.deepEqual(reachedPosition(at(2, "t 7"), 1, relayed), relayed);
    assert.deepEqual(reachedPosition(at(2, "t 6"), 1, relayed), at(2, "t 6"));
    assert.deepEqual(reachedPosition(at(11, "t 8"), 1, relayed), at(11, "t 8"));
    assert.deepEqual(reachedPosition(at(2), undefined, relayed), at(2));
    assert.deepEqual(reachedPosition(at(2, "t 7"), 1, undefined), at(2, "t 7"));
  });
});
