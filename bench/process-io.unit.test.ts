import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { writeCallsIn } from "./process-io.ts";

describe("what a process has written", () => {
  it("TST-10: is the number of its write system calls, and 0 once the process has ended", () => {
    assert.equal(
      writeCallsIn("rchar: 10\nwchar: 20\nsyscr: 3\nsyscw: 417\nread_bytes: 0\nwrite_bytes: 4096\ncancelled_write_bytes: 0\n"),
      417,
    );
    assert.equal(writeCallsIn(""), 0);
  });
});
