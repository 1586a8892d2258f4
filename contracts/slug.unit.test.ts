import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { distinctSlug, slugOf } from "./slug.ts";

const form = /^[a-z0-9]+(-[a-z0-9]+)*$/;

describe("slugs", () => {
  it("have letters and digits, without accents and punctuation", () => {
    assert.equal(slugOf("Café Crème, large"), "cafe-creme-large");
    assert.equal(slugOf("  Straße & Smørrebrød / Łódź "), "strasse-smorrebrod-lodz");
    assert.equal(slugOf("Men's T-Shirt №5"), "mens-t-shirt-no5");
  });

  it("have a digest of the full text where more than that was dropped, or nothing is left", () => {
    for (const name of ["鞋子", "😀😀", "---", "!!!", "Ocean 青", "C++", "C#", "ブ", "x".repeat(101)])
      assert.match(slugOf(name), /^([a-z0-9]+-)*[0-9a-f]{8}$/, name);
    const texts = [
      "鞋子",
      "帽子",
      "😀😀",
      "---",
      "C++",
      "C#",
      "Обувь 2",
      "Шапка 2",
      "ブ",
      "フ",
      `${"x".repeat(101)}a`,
      `${"x".repeat(101)}b`,
    ];
    assert.equal(new Set(texts.map((text) => slugOf(text))).size, texts.length);
    assert.match(slugOf("Ocean 青"), /^ocean-[0-9a-f]{8}$/);
  });

  it("are always what the contract takes, and their own slugs", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (name) => {
        const slug = slugOf(name);
        assert.match(slug, form);
        assert.ok(slug.length <= 100);
        assert.equal(slugOf(slug), slug);
      }),
    );
  });

  it("are distinct for texts that differ in more than case, where that is asked for", () => {
    assert.equal(distinctSlug("Case-Shirt", 255), "case-shirt");
    assert.equal(distinctSlug("Öko", 255), distinctSlug("o\u0308KO", 255));
    const near = ["öko", "oko", "a_b", "a-b", "a b", "a.b", "コーヒー-250", "紅茶-250", "250"];
    assert.equal(new Set(near.map((text) => distinctSlug(text, 255))).size, near.length);
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (text) => {
        const slug = distinctSlug(text, 120);
        assert.match(slug, form);
        assert.ok(slug.length <= 120);
        assert.equal(distinctSlug(slug, 120), slug);
      }),
    );
  });
});
