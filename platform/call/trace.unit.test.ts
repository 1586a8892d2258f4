import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatTrace, formatTraceparent, newTrace, parseTrace, parseTraceparent } from "./trace.ts";

describe("a trace", () => {
  it("that starts here is unlike any other, and valid", () => {
    const traces = Array.from({ length: 1_000 }, newTrace);
    for (const trace of traces) assert.deepEqual(parseTraceparent(formatTraceparent(trace)), trace);
    for (const id of ["traceId", "spanId"] as const) assert.equal(new Set(traces.map((trace) => trace[id])).size, traces.length);
  });

  it("is read from a traceparent of this version and of later ones, and from nothing else", () => {
    const ids = { traceId: "a".repeat(32), spanId: "b".repeat(16) };
    const both = `${ids.traceId}-${ids.spanId}`;
    for (const valid of [`00-${both}-01`, `00-${both}-00`, `cc-${both}-01-what-comes-later`])
      assert.deepEqual(parseTraceparent(valid), ids, valid);
    const zeros = "0".repeat(32);
    for (const invalid of [
      "",
      both,
      "00-00-00-00",
      `ff-${both}-01`,
      `00-${both.toUpperCase()}-01`,
      `00-${zeros}-${ids.spanId}-01`,
      `00-${both}-01-${zeros}${zeros}`,
    ])
      assert.equal(parseTraceparent(invalid), undefined, invalid);
  });

  it("is stored in a text of its own, in which there may be none", () => {
    const trace = newTrace();
    assert.deepEqual(parseTrace(formatTrace(trace)), trace);
    assert.equal(parseTrace(""), undefined);
  });
});
