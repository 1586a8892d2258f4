import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { textOf } from "./text-of.ts";

const words = (markup: string) =>
  textOf(markup)
    .split(/\s+/)
    .filter((word) => word !== "");

describe("the text of HTML", () => {
  it("is what a reader sees: no tags, attributes, comments, scripts or styles", () => {
    assert.deepEqual(words("<p class=\"a > b\" title='x>y'>Oil <b>L</b>amp<br>Brass</p><!-- hidden > --><ul><li>One<li>Two</ul>"), [
      "Oil",
      "Lamp",
      "Brass",
      "One",
      "Two",
    ]);
    assert.deepEqual(words("<style>p { color: red }</style>A<script>if (a < b) alert('x')</script>B"), ["A", "B"]);
    assert.deepEqual(words("1 < 2 & 3 > 2 <3"), ["1", "<", "2", "&", "3", ">", "2", "<3"]);
  });

  it("has the characters that names and numbers stand for", () => {
    assert.equal(
      textOf("Gr&ouml;&szlig;e&nbsp;XL &amp; &#8364;&#x20AC; &lt;b&gt; &unknown; &#0;&#xD800;"),
      "Größe\u00a0XL & €€ <b> &unknown; ",
    );
  });

  it("ends where broken markup ends, in time that is linear in its length", () => {
    assert.deepEqual(words("A <b"), ["A"]);
    assert.deepEqual(words("A <!-- B"), ["A"]);
    assert.deepEqual(words("A <script> B"), ["A"]);
    for (const piece of ['<a "', "<a b='", "<!--", "<", "&", "<script>"]) assert.equal(typeof textOf(piece.repeat(100_000)), "string");
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."<>\"'=/!-&;#abp ".split("")) }), (markup) =>
        assert.ok(textOf(markup).length <= markup.length),
      ),
    );
  });
});
