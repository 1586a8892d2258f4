import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fairShare } from "./member-store.ts";
import { baseName, partName, partOf, partOfStream } from "./partition-name.ts";

describe("the parts of a log", () => {
  it("MSG-01: chooses the part of a stream as Kafka's own clients do", () => {
    // From the tests of Kafka's Java client; the sign is taken off.
    const known: [string, number][] = [
      ["21", -973932308],
      ["foobar", -790332482],
      ["a-little-bit-long-string", -985981536],
      ["a-little-bit-longer-string", -1486304829],
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
      ["abc", 479470107],
    ];
    for (const [text, hash] of known) assert.equal(partOfStream(text, 2 ** 31), hash & 0x7fffffff, text);
    for (const [text, hash] of known) assert.equal(partOfStream(text, 6), (hash & 0x7fffffff) % 6, text);
  });

  it("names rows, and finds their subscription and part", () => {
    assert.equal(partName("orders.claims", 11), "orders.claims#11");
    assert.deepEqual([baseName("orders.claims#11"), partOf("orders.claims#11")], ["orders.claims", 11]);
    assert.deepEqual([baseName("orders.claims"), partOf("orders.claims")], ["orders.claims", undefined]);
  });

  it("shares all parts among all members, about equally, whoever they are", () => {
    for (const parts of [1, 5, 6, 7])
      for (let count = 1; count <= 9; count++)
        for (let nth = 0; nth < 4; nth++) {
          const members = Array.from({ length: count }, (_, at) => `m${at}`);
          const shares = members.map((member) => fairShare(parts, members, member, nth));
          assert.equal(
            shares.reduce((sum, share) => sum + share, 0),
            parts,
          );
          assert.ok(Math.max(...shares) - Math.min(...shares) <= 1, `${parts} parts, ${count} members: ${shares.join(" ")}`);
        }
    assert.equal(fairShare(6, [], "alone", 0), 6);
  });
});
