import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { IdCounts } from "./id-counts.ts";

describe("what verify counts with", () => {
  it("counts ids that differ in their last letters only", () => {
    const ids = createIds(systemClock);
    const counts = new IdCounts();
    const all = Array.from({ length: 100_000 }, () => ids.next("ord"));
    for (const id of all) counts.add(id);
    counts.add(all[7]!);
    assert.deepEqual(
      all.filter((id) => counts.count(id) !== 1),
      [all[7]],
    );
    assert.equal(counts.count(all[7]!), 2);
    assert.deepEqual(
      Array.from({ length: 10_000 }, () => ids.next("ord")).filter((id) => counts.count(id) !== 0),
      [],
    );
    counts.add("another");
    assert.equal(counts.count("another"), 1);
  });
});
