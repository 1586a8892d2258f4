import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { whereJsonBreaks } from "./json-position.ts";

describe("where JSON breaks", () => {
  const cases: [text: string, line: number, column: number][] = [
    ["", 1, 1],
    ["{", 1, 2],
    ["}", 1, 1],
    ['{"a"}', 1, 5],
    ['{"a":}', 1, 6],
    ['{"a":1,}', 1, 8],
    ["{,}", 1, 2],
    ["[1,]", 1, 4],
    ["[1 2]", 1, 4],
    ["[}", 1, 2],
    ["{]", 1, 2],
    ["{} {}", 1, 4],
    ['{"a":"b\n"}', 1, 6],
    ['{"a":"\\x"}', 1, 6],
    ["[01]", 1, 3],
    ["[1.]", 1, 3],
    ["nul", 1, 1],
    ['{"a":[1,\n  {"b":tru}]}', 2, 8],
    ["{'a':1}", 1, 2],
  ];
  for (const [text, line, column] of cases)
    it(`${JSON.stringify(text)} breaks at ${line}:${column}`, () => {
      assert.throws(() => JSON.parse(text), SyntaxError);
      assert.deepEqual(whereJsonBreaks(text), { line, column });
    });

  it("is quick on a long text", () => {
    const text = `{"a":"${"\\n".repeat(100_000)}",`;
    assert.deepEqual(whereJsonBreaks(text), { line: 1, column: text.length + 1 });
  });
});
