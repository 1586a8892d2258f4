import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { decodeCursor, encodeCursor } from "./search-cursor.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchQuery } from "./search.ts";

const query: SearchQuery = { text: "tee", sort: [{ by: "relevance" }], limit: 20 };
const position: Position = { keys: ["0", "3"], id: "prd_1", corrected: [["tea", "tree"]] };
const read = (forged: unknown) => decodeCursor("products", query, encodeCursor("products", query, forged as Position), 2);

describe("cursors of searches", () => {
  it("give the position that they were made of", () => {
    assert.deepEqual(read(position), position);
    assert.deepEqual(read({ keys: ["-1", "9007199254740992"], id: "ü b" }), { keys: ["-1", "9007199254740992"], id: "ü b" });
  });

  it("API-05: one that is forged with the right seal is refused as INVALID_CURSOR, whatever is in it", () => {
    const words = ["a & b", "a'b", "a:*", "", "\0", "A", "tea tree", "\ud800"];
    const forged: readonly unknown[] = [
      { ...position, id: "a\0b" },
      { ...position, id: "\ud800" },
      { ...position, id: "a".repeat(256) },
      { ...position, id: 7 },
      { ...position, keys: ["0"] },
      { ...position, keys: ["0", "1.5"] },
      { ...position, keys: ["0", "12345678901234567"] },
      { ...position, corrected: [] },
      { ...position, corrected: [[]] },
      { ...position, corrected: [Array.from({ length: 9 }, () => "tea")] },
      { ...position, corrected: Array.from({ length: 201 }, () => ["tea"]) },
      ...words.map((word) => ({ ...position, corrected: [["tea", word]] })),
    ];
    for (const one of forged)
      assert.throws(
        () => read(one),
        (error) => refusalIn(error)?.reason === "INVALID_CURSOR",
        JSON.stringify(one),
      );
  });
});
