import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { markText, reachedPlace, readMark, recordsLeft } from "./log-progress.ts";

const at = (position: number, mark = "") => ({ epoch: 1, xid: "10", position: String(position), mark });

describe("how far a part has come", () => {
  it("reads the marks that it writes, and nothing from none", () => {
    assert.deepEqual(readMark(markText("topic", [1, 0, 12])), { topic: "topic", offsets: [1, 0, 12] });
    assert.equal(readMark(""), undefined);
  });

  it("counts what is left in its own part, all of it when its mark is of another topic", () => {
    const relayed = at(9, markText("t", [3, 7]));
    assert.deepEqual(
      [at(2, "t 5"), at(2, "t 7"), at(2, "t 9"), at(2, "old 7"), at(2)].map((stand) => recordsLeft(stand, 1, relayed)),
      [2, 0, 0, 7, 7],
    );
  });

  it("is the place relayed once the part's own end is passed, however old its last event", () => {
    const relayed = at(9, markText("t", [3, 7]));
    assert.deepEqual(reachedPlace(at(2, "t 7"), 1, relayed), relayed);
    assert.deepEqual(reachedPlace(at(2, "t 6"), 1, relayed), at(2, "t 6"));
    assert.deepEqual(reachedPlace(at(11, "t 8"), 1, relayed), at(11, "t 8"));
    assert.deepEqual(reachedPlace(at(2), undefined, relayed), at(2));
    assert.deepEqual(reachedPlace(at(2, "t 7"), 1, undefined), at(2, "t 7"));
  });
});
