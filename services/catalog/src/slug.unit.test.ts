import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { slugOf } from "./slug.ts";

describe("catalog: slugs", () => {
  it("preserves letters and digits, without accents", () => {
    assert.equal(slugOf("Café Crème, large"), "cafe-creme-large");
    assert.equal(slugOf("  Straße & Smørrebrød / Łódź "), "strasse-smorrebrod-lodz");
    assert.equal(slugOf("Men's T-Shirt №5"), "mens-t-shirt-no5");
    assert.equal(slugOf("!!!"), "x");
  });

  it("distinguishes names that have no Latin letters", () => {
    const [shoes, hats] = [slugOf("鞋子"), slugOf("帽子")];
    assert.notEqual(shoes, hats);
    assert.equal(slugOf("鞋子"), shoes);
    assert.match(slugOf("Ocean 青"), /^ocean-[0-9a-f]{8}$/);
    assert.notEqual(slugOf("Обувь 2"), slugOf("Шапка 2"));
  });

  it("is always what the contract takes, and its own slug", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (name) => {
        const slug = slugOf(name);
        assert.match(slug, /^[a-z0-9]+(-[a-z0-9]+)*$/);
        assert.ok(slug.length <= 100);
        assert.equal(slugOf(slug), slug);
      }),
    );
  });
});
