import assert from "node:assert/strict";
import { it } from "node:test";
import { fairShare } from "./fair-share.ts";

it("the fair shares of all members add up to all partitions and differ by at most one", () => {
  for (const partitions of [1, 5, 6, 7])
    for (let count = 1; count <= 9; count++)
      for (let offset = 0; offset < 4; offset++) {
        const members = Array.from({ length: count }, (_, at) => `m${at}`);
        const shares = members.map((member) => fairShare(partitions, members, member, offset));
        assert.equal(
          shares.reduce((sum, share) => sum + share, 0),
          partitions,
        );
        assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, `${partitions} partitions, ${count} members: ${shares.join(" ")}`);
      }
  assert.equal(fairShare(6, [], "alone", 0), 6);
});
