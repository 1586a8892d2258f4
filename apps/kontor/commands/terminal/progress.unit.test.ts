import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createProgress } from "./progress.ts";

function drawn(isTTY: boolean, columns = 80) {
  let text = "";
  let nowMs = 0;
  const output = { write: (part: string) => (text += part), isTTY, columns };
  const progress = createProgress(output, "products", () => nowMs);
  return { progress, text: () => text, at: (ms: number, part: number, count: number) => ((nowMs = ms), progress.at(part, count)) };
}

describe("progress", () => {
  it("draws one line again and again on a terminal, no wider than it, and clears it at the end", () => {
    const { progress, at, text } = drawn(true, 60);
    at(1_000, 0.5, 1_500);
    at(1_050, 0.6, 1_600);
    at(2_000, 2, 4_000);
    progress.end();
    progress.end();
    const lines = text().split("\r");
    assert.equal(lines[1], "████████████░░░░░░░░░░░░  50 %  1,500 products  1,500/s\u001b[K");
    assert.equal(lines[2], "████████████████████████ 100 %  4,000 products  2,000/s\u001b[K");
    assert.deepEqual(lines.slice(3), ["\u001b[K"]);
    const narrow = drawn(true, 30);
    narrow.at(1_000, 0.5, 1_500);
    assert.equal(narrow.text().length, "\r".length + 29 + "\u001b[K".length);
  });

  it("writes a line every few seconds anywhere else", () => {
    const { progress, at, text } = drawn(false);
    at(1_000, 0.1, 100);
    at(5_000, 0.5, 500);
    at(6_000, 0.6, 600);
    progress.end();
    assert.equal(text(), "50 %  500 products\n");
  });
});
