import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readTestFile, testFile } from "./read-test-file.ts";

const optionColumns = ["Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU"];

describe("variants of Shopify's product files", () => {
  it("CAT-05: rejects a row whose price is missing, negative or none of the currency, naming column and line; the others stay", async () => {
    const text = testFile(
      optionColumns,
      ["cap", "Cap", "x", "Size", "S", "", "", "CAP-S"],
      ["cap", "", "9.999", "", "M", "", "", "CAP-M"],
      ["cap", "", "-1", "", "L", "", "", "CAP-L"],
      ["cap", "", "", "", "XL", "", "", "CAP-XL"],
      ["cap", "", "9.9900", "", "XXL", "", "", "CAP-XXL"],
      ["hat", "Hat", "free", "", "", "", "", "HAT"],
    );
    const { product, lost, rejected } = await readTestFile(text);
    assert.deepEqual(
      product("cap").variants.map(({ sku, price }) => [sku, price?.amount]),
      [["CAP-XXL", "9.99"]],
    );
    assert.deepEqual(product("cap").title, "Cap", "a product has what its first row says even when that row's variant is rejected");
    assert.deepEqual(lost, ["hat"]);
    assert.deepEqual(
      rejected.map(([line, column]) => [line, column]),
      [2, 3, 4, 5, 7].map((line) => [line, "Variant Price"]),
    );
    assert.deepEqual(
      rejected.map(([, , message]) => message),
      [
        'must be decimal text such as 19.99, not "x"',
        'must have at most 2 decimals in EUR, not "9.999"',
        'must be from 0.00 to 9999999999999.99 EUR, not "-1"',
        "is missing",
        'must be decimal text such as 19.99, not "free"',
      ],
    );
    const { product: yen } = await readTestFile(testFile([], ["tea", "Tea", "1200.00"]), "JPY");
    assert.deepEqual([yen().variants[0]?.price?.currency, yen().variants[0]?.price?.amount], ["JPY", "1200"]);
  });

  it("makes a SKU from handle and options where there is none, the same each time and unique in the file", async () => {
    const text = testFile(
      optionColumns,
      ["cap", "Cap", "1", "Size", "Größe L", "Colour", "Navy/Blue", ""],
      ["cap", "", "1", "", "Größe L", "", "紺", ""],
      ["cap-grosse-l-navy-blue", "Other", "1", "", "", "", "", ""],
    );
    const skus = (await readTestFile(text)).entries.flatMap(({ product }) => product.product!.variants.map(({ sku }) => sku));
    assert.equal(skus.length, new Set(skus).size);
    assert.equal(skus[0], "cap-grosse-l-navy-blue");
    assert.match(skus[2]!, /^cap-grosse-l-navy-blue-[0-9a-f]{8}$/, "one that is taken gets a digest of its own");
    assert.match(skus[1]!, /^cap-grosse-l-[0-9a-f]{8}$/, "text in another script is distinguished by a hash");
    assert.deepEqual(
      (await readTestFile(text)).entries.flatMap(({ product }) => product.product!.variants.map(({ sku }) => sku)),
      skus,
    );
  });

  it("rejects the later row of a SKU that is used twice, and notes a SKU that had to be changed", async () => {
    const { product, lost, rejected, notes } = await readTestFile(
      testFile(["Variant SKU"], ["a", "A", "1", "X-1"], ["b", "B", "1", "X-1"], ["c", "C", "1", "'007 A/B"], ["d", "D", "1", "'008"]),
    );
    assert.deepEqual([lost, rejected], [["b"], [[3, "Variant SKU", "X-1 is on line 2 already"]]]);
    assert.deepEqual([product("c").variants[0]?.sku, product("d").variants[0]?.sku], ["007-A-B", "008"]);
    assert.deepEqual(notes, [[4, "Variant SKU", "cannot have spaces or slashes and is stored as 007-A-B"]]);
  });

  it("rejects variants that cannot be distinguished, lack an option, or have one that the product does not have", async () => {
    const { product, rejected } = await readTestFile(
      testFile(
        optionColumns,
        ["cap", "Cap", "1", "Size", "S", "Colour", "Red", "A"],
        ["cap", "", "1", "", "S", "", "Red", "B"],
        ["cap", "", "1", "", "M", "", "", "C"],
        ["cap", "", "1", "", "S", "", "Blue", "D"],
        ["hat", "Hat", "1", "Title", "Default Title", "", "", "E"],
        ["hat", "", "1", "", "Large", "", "", "F"],
        ["hat", "", "1", "", "", "", "", "G"],
      ),
    );
    assert.deepEqual(
      product("cap").variants.map(({ sku }) => sku),
      ["A", "D"],
    );
    assert.deepEqual(rejected, [
      [3, "Option1 Value", "is the choice of line 2 already"],
      [4, "Option2 Value", "is missing"],
      [7, "Option1 Value", "has a value, but the product's first row does not name this option"],
      [8, "Option1 Value", "is missing: line 6 is the product's only variant"],
    ]);
  });

  it("reads stock: a negative number counts as 0, with a note, and what is no number books nothing", async () => {
    const { entries, rejected, notes } = await readTestFile(
      testFile(
        ["Variant Inventory Qty"],
        ["a", "A", "1", "-4"],
        ["b", "B", "1", "12"],
        ["c", "C", "1", ""],
        ["d", "D", "1", "many"],
        ["e", "E", "1", "3.0"],
      ),
    );
    assert.deepEqual(
      entries.map(({ stock }) => stock.map(({ onHand }) => onHand)),
      [[0], [12], [], [], [3]],
    );
    assert.deepEqual(notes, [
      [2, "Variant Inventory Qty", "-4 is below zero and counts as 0"],
      [5, "Variant Inventory Qty", 'must be a whole number, not "many"; no units are booked'],
    ]);
    assert.deepEqual(rejected, []);
  });

  it("reads weights: grams are grams, another weight counts by its unit", async () => {
    const { entries } = await readTestFile(testFile(["Variant Grams", "Variant Weight Unit"], ["a", "A", "1", "1500", "kg"]));
    assert.equal(entries[0]?.product.product?.variants[0]?.weightGrams, 1500);
    const rows = [
      ["a", "A", "1", "1.5", "kg"],
      ["b", "B", "1", "1", "lb"],
      ["c", "C", "1", "2", "oz"],
      ["d", "D", "1", "5", ""],
      ["e", "E", "1", "5", "stone"],
    ];
    const weights = await readTestFile(testFile(["Variant Weight", "Variant Weight Unit"], ...rows));
    assert.deepEqual(
      weights.entries.map(({ product }) => product.product?.variants[0]?.weightGrams),
      [1500, 454, 57, 5, 0],
    );
    assert.deepEqual(weights.notes, [[6, "Variant Weight", '"stone" is no unit of weight: g, kg, oz or lb; it is left out']]);
  });
});
