import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { errorsBetween, errorsMax, deletionsOf, typedWordsOf, wordsOf } from "./words.ts";

const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 9 });

describe("words", () => {
  it("are letters and digits, in lower case and without accents", () => {
    assert.deepEqual(wordsOf("Café-Becher, 2×30 cm (ÄÖÜ ß)"), ["cafe", "becher", "2", "30", "cm", "aou", "ss", "cafebecher"]);
    assert.deepEqual(wordsOf("Men's T-Shirt №5 İSTANBUL"), ["mens", "t", "shirt", "no5", "istanbul", "tshirt"]);
    assert.deepEqual(wordsOf("हिन्दी 🦄👍🏽🇩🇪 ©"), ["हिन्दी", "🦄", "👍", "🇩🇪"]);
    assert.deepEqual(wordsOf(" .,;!' "), []);
    assert.equal(wordsOf("x".repeat(1_000))[0]?.length, 64);
  });

  it("of scripts without spaces are letters and pairs of letters, and typed ones are pairs", () => {
    assert.deepEqual(wordsOf("東京駅A4"), ["東", "京", "東京", "駅", "京駅", "a4"]);
    assert.deepEqual(wordsOf("ガム"), ["カ\u3099", "ム", "カ\u3099ム"], "a letter keeps its marks");
    assert.deepEqual(typedWordsOf("東京駅 A4 茶"), [["東京"], ["京駅"], ["a4"], ["茶"]]);
  });

  it("that hyphens join are one and several, except numbers and codes", () => {
    assert.deepEqual(wordsOf("Wi-Fi SR-024 all-in-one"), ["wi", "fi", "sr", "024", "all", "in", "one", "wifi", "allinone"]);
    assert.deepEqual(typedWordsOf("Wi-Fi router"), [["wi", "wifi"], ["fi", "wifi"], ["router"]]);
    assert.deepEqual(typedWordsOf("SR-024 sr"), [["sr"], ["024"]]);
    for (const end of ["a", "1", "-"])
      assert.ok(wordsOf("a-".repeat(200_000) + end).length >= 200_000, "in time that is linear in the text");
  });

  it("never end with half a character when they are cut", () => {
    for (const start of ["", "x", "xx"]) assert.ok(wordsOf(start + "𠀀".repeat(100)).every((one) => one.isWellFormed()));
  });

  it("share a form with deletions when they are no more errors apart than they may have", () => {
    fc.assert(
      fc.property(word, word, (one, other) => {
        const left = Math.min(errorsMax(one), errorsMax(other));
        const shared = [...deletionsOf(one)].some((remain) => deletionsOf(other).has(remain));
        if (left > 0 && errorsBetween(one, other) <= left) assert(shared);
      }),
    );
  });

  it("are measured by letters added, left out, changed and swapped", () => {
    for (const [one, other, errors] of [
      ["shirt", "shirt", 0],
      ["shirt", "shrit", 1],
      ["shirt", "shirts", 1],
      ["shirt", "shit", 1],
      ["shirt", "skirt", 1],
      ["backpack", "bakcpak", 2],
      ["", "abc", 3],
    ] as const)
      assert.deepEqual([errorsBetween(one, other), errorsBetween(other, one)], [errors, errors]);
  });
});
