import assert from "node:assert/strict";
import { it } from "node:test";
import { offsetsText, parseOffsets } from "./checkpoint.ts";

it("a checkpoint's offsets are parsed from the text that is written, and an empty text has none", () => {
  assert.deepEqual(parseOffsets(offsetsText("topic", [1, 0, 12])), { topic: "topic", offsets: [1, 0, 12] });
  assert.equal(parseOffsets(""), undefined);
});
