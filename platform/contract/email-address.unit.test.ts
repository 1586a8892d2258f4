import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { emailAddress } from "./email-address.ts";
import { formats } from "./formats.ts";

const isEmail = (text: string) => formats["email"]!.test(text);

describe("e-mail addresses", () => {
  it("ID-01: spellings of one address have one key, and each of them has the format", () => {
    const spellings: readonly (readonly string[])[] = [
      ["ann@shop.example", " ann@shop.example\t", "Ann@Shop.EXAMPLE", "ANN@SHOP.EXAMPLE"],
      ["bo@xn--mller-kva.example", "bo@müller.example", "BO@MÜLLER.example", "bo@mu\u0308ller.example", "bo@XN--MLLER-KVA.example"],
      ["cy@xn--wgv71a119e.example", "cy@日本語.example", "cy@日本語。example", "cy@日本語．example"],
      ["rené@shop.example", "rene\u0301@shop.example", "RENÉ@shop.example"],
    ];
    for (const [first = "", ...others] of spellings)
      for (const text of [first, ...others]) {
        assert.equal(emailAddress(text).key, first, text);
        assert.equal(isEmail(text), true, text);
      }
  });

  it("what is written keeps the letters' case, and only ASCII in its domain", () => {
    assert.equal(emailAddress("  Ann.Lee@Müller.Example ").written, "Ann.Lee@xn--mller-kva.example");
    assert.equal(emailAddress("Ann@Shop.Example").written, "Ann@Shop.Example");
  });

  it("a text that is no address has not the format, and stays different from every address", () => {
    for (const text of [
      "",
      "@",
      "ann",
      "ann@",
      "ann@shop",
      "ann@müller",
      "ann@mü%6cler.example",
      "ann@mü/ller.example",
      "ann@mü:80.example",
      "ann@xn--ü.example",
      "a b@shop.example",
      `ann@${"ü".repeat(60)}.example`,
      "ann@1.2.3.４",
    ])
      assert.equal(isEmail(text), false, text);
  });

  it("the key of a key is itself, for whatever text", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.emailAddress()), (text) => {
        const { written, key } = emailAddress(text);
        assert.equal(emailAddress(key).key, key);
        assert.equal(emailAddress(written).written, written);
        assert.equal(emailAddress(written).key, key);
      }),
      { numRuns: 500 },
    );
  });
});
