import assert from "node:assert/strict";
import { it } from "node:test";
import { beginning, comparePositions } from "./position.ts";

it("positions are ordered by epoch, transaction and position, as numbers", () => {
  const at = (epoch: number, xid: string, position: string) => ({ epoch, xid, position });
  const ordered = [beginning, at(1, "9", "100"), at(1, "10", "9"), at(1, "10", "10"), at(1, "18446744073709551615", "1"), at(2, "5", "1")];
  for (const [nth, a] of ordered.entries())
    for (const [other, b] of ordered.entries()) assert.equal(Math.sign(comparePositions(a, b)), Math.sign(nth - other));
});
