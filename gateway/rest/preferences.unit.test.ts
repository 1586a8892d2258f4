import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { preferredWaitSeconds } from "./preferences.ts";

describe("the Prefer header", () => {
  it("GW-08: says for how many seconds a client waits, 10 at most", () => {
    for (const [header, seconds] of [
      ["wait=1", 1],
      ["wait=10", 10],
      ["wait=11", 10],
      ["wait=99999999999999999999999", 10],
      ["WAIT = 5", 5],
      ["respond-async, wait=3", 3],
      ["respond-async; wait=9, wait=3", 3],
      ["wait=4; strict, handling=lenient", 4],
      ["wait=2, wait=7", 2],
      ['x="a, wait=9, \\", wait=8", wait=6', 6],
      [["wait=5", "wait=6"], 5],
    ] as const)
      assert.equal(preferredWaitSeconds(header), seconds, String(header));
  });

  it("GW-08: is ignored where it is malformed, not known, or says nothing of waiting", () => {
    for (const header of [
      undefined,
      "",
      ",",
      "wait",
      "wait=",
      "wait=0",
      "wait=-1",
      "wait=1.5",
      "wait=1e1",
      "wait=ten",
      "wait=5 s",
      "wait=5=5",
      'wait="5"',
      "wait=x, wait=5",
      "waits=5",
      "return=minimal",
      'x="wait=5',
      'x=", wait=5\\',
    ])
      assert.equal(preferredWaitSeconds(header), undefined, header);
  });

  it("is read in a time that grows with its length only", () => {
    for (const piece of ['"', '\\"', '"\\', "wait=", ",", " ", "=", ";"]) preferredWaitSeconds(piece.repeat(16_000));
  });
});
