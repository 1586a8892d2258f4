import assert from "node:assert/strict";
import { it } from "node:test";
import { beginning, comparePlaces } from "./position.ts";

it("places are ordered by epoch, transaction and position, as numbers", () => {
  const place = (epoch: number, xid: string, position: string) => ({ epoch, xid, position });
  const ordered = [
    beginning,
    place(1, "9", "100"),
    place(1, "10", "9"),
    place(1, "10", "10"),
    place(1, "18446744073709551615", "1"),
    place(2, "5", "1"),
  ];
  for (const [at, a] of ordered.entries())
    for (const [other, b] of ordered.entries()) assert.equal(Math.sign(comparePlaces(a, b)), Math.sign(at - other));
});
