import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { refusalIn } from "../errors/refusal.ts";
import { readPage } from "./cursor.ts";
import type { Page, PagedList, SortKind } from "./cursor.ts";

/** Numbers in order, as a list that is read page by page. */
const listOf = (items: readonly number[]): PagedList<number, readonly ["integer"]> => ({
  sortedBy: ["integer"],
  valuesOf: (item) => [item],
  read: async (after, limit) => items.filter((item) => after === undefined || item > after[0]).slice(0, limit),
});

describe("a list in pages", () => {
  it("returns every item once and in order, for every size of a page; the last page has no cursor", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.integer(), { maxLength: 40 }), fc.integer({ min: 1, max: 10 }), async (values, limit) => {
        const items = values.toSorted((one, other) => one - other);
        const read: number[] = [];
        for (let cursor: string | undefined = ""; cursor !== undefined;) {
          const page: Page<number> = await readPage({ limit, cursor }, listOf(items));
          assert.ok(page.items.length === limit || page.nextCursor === undefined);
          read.push(...page.items);
          cursor = page.nextCursor;
        }
        assert.deepEqual(read, items);
      }),
    );
  });

  it("has 20 items a page where no limit is named", async () => {
    const numbers = Array.from({ length: 30 }, (_, nth) => nth);
    assert.equal((await readPage({ limit: 0, cursor: "" }, listOf(numbers))).items.length, 20);
  });

  it("refuses a cursor whose values are not of their kinds, before anything is read", async () => {
    const forged: readonly [SortKind, readonly unknown[]][] = [
      ["text", [1, null, "a\0"]],
      ["id", ["", "a b", "ord_1; --", "a".repeat(61), 7]],
      ["int32", [1.5, 2 ** 31, "1", null]],
      ["integer", [1.5, 2 ** 53, "1"]],
      ["timeMs", [-1, 253_402_300_800_000, 1e300, "1"]],
    ];
    const read = () => assert.fail("it was read");
    for (const [kind, values] of forged)
      for (const value of [...values, [], undefined])
        for (const text of [
          JSON.stringify(value === undefined ? [] : [value]),
          JSON.stringify(value) ?? "x",
          JSON.stringify([value, value]),
        ])
          await assert.rejects(
            readPage({ limit: 1, cursor: Buffer.from(text).toString("base64url") }, { sortedBy: [kind], valuesOf: () => [0], read }),
            (error) => refusalIn(error)?.reason === "INVALID_CURSOR" && refusalIn(error)?.code === "invalid_argument",
            `${kind} ${text}`,
          );
  });
});
