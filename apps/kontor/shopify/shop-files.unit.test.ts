import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { byText, readTestFile, testFile } from "./read-test-file.ts";

const { COUNTED, BACKORDER, NOT_COUNTED } = StockPolicy;
const skusOf = ({ entries }: Awaited<ReturnType<typeof readTestFile>>) =>
  entries.flatMap(({ product }) => product.product!.variants.map(({ sku }) => sku));

describe("files of shops that went wrong elsewhere", () => {
  it("CAT-04: tells handles in other scripts apart, and takes those that differ in case for one product's", async () => {
    const { entries, lost, rejected } = await readTestFile(
      testFile(["Variant SKU"], ["コーヒー-250", "コーヒー", "9.00", "JP-1"], ["紅茶-250", "紅茶", "7.00", "JP-2"]),
    );
    const handles = entries.map(({ product }) => product.product!.handle);
    assert.deepEqual([lost, rejected, new Set(handles).size], [[], [], 2]);
    for (const handle of handles) assert.match(handle, /^250-[0-9a-f]{8}$/);

    const columns = ["Option1 Name", "Option1 Value", "Variant SKU"];
    const shirt = await readTestFile(
      testFile(columns, ["Case-Shirt", "Case shirt", "5.00", "Size", "S", "CS-S"], ["case-shirt", "", "5.00", "", "M", "CS-M"]),
    );
    assert.deepEqual([shirt.entries.length, shirt.rejected, skusOf(shirt)], [1, [], ["CS-S", "CS-M"]]);
    const cups = await readTestFile(
      testFile(
        columns,
        ["öko-tasse", "Öko-Tasse", "5", "Size", "S", "OT-S"],
        ["O\u0308ko-Tasse", "", "5", "", "M", "OT-M"],
        ["oko-tasse", "Oko mug (another product)", "7", "", "", "OT-X"],
      ),
    );
    assert.deepEqual(
      [cups.rejected, cups.entries.map(({ product }) => product.product!.variants.map(({ sku }) => sku))],
      [[], [["OT-S", "OT-M"], ["OT-X"]]],
    );
  });

  it("CAT-04: a made-up SKU follows from the choice, in any order of the rows", async () => {
    const columns = ["Option1 Name", "Option1 Value", "Variant Inventory Qty"];
    const facts = async (...rows: string[][]) => {
      const { entries } = await readTestFile(testFile(columns, ...rows));
      const [entry] = entries;
      const { variants } = entry!.product.product!;
      return variants.map(({ sku, options, price }, at) => [options[0], sku, price!.amount, entry!.stock[at]?.onHand]).toSorted(byText);
    };
    const one = await facts(["swap-shirt", "Swap shirt", "3.00", "色", "赤-1", "5"], ["swap-shirt", "", "4.00", "", "青-1", "9"]);
    const other = await facts(["swap-shirt", "Swap shirt", "4.00", "色", "青-1", "9"], ["swap-shirt", "", "3.00", "", "赤-1", "5"]);
    assert.deepEqual(one, other);
    assert.deepEqual(
      one.map(([choice, , price, units]) => [choice, price, units]),
      [
        ["赤-1", "3.00", 5],
        ["青-1", "4.00", 9],
      ],
    );
    const alike = await facts(["x", "X", "1", "Fit", "A.B", "1"], ["x", "", "2", "", "a/b", "2"]);
    assert.deepEqual(alike, await facts(["x", "X", "2", "Fit", "a/b", "2"], ["x", "", "1", "", "A.B", "1"]));
  });

  it("PRI-01: reads a decimal comma where commas do not divide cells, and refuses what could mean two amounts", async () => {
    const head =
      "Handle;Title;Variant SKU;Variant Price;Variant Compare At Price;Variant Inventory Qty;Variant Weight;Variant Weight Unit\n";
    const { product, rejected, notes } = await readTestFile(`${head}de-tasse;Tasse;DE-1;9,90;12,50;4;0,35;kg\n`);
    const [variant] = product().variants;
    assert.deepEqual(
      [variant!.price?.amount, variant!.compareAtPrice?.amount, variant!.weightGrams, rejected, notes],
      ["9.90", "12.50", 350, [], []],
    );
    for (const [price, message] of [
      ["1.234,50", /mixes commas and points/],
      ["1,234.50", /mixes commas and points/],
      ["1.234", /could mean thousands or decimals/],
      ["1,234", /could mean thousands or decimals/],
      ["9,9,0", /mixes commas and points/],
    ] as const) {
      const wrong = await readTestFile(`${head}a;A;A-1;${price};;;;\n`);
      assert.deepEqual([wrong.lost, wrong.rejected[0]?.slice(0, 2)], [["a"], [2, "Variant Price"]], price);
      assert.match(String(wrong.rejected[0]?.[2]), message);
    }
    const commas = await readTestFile('Handle,Title,Variant Price\na,A,"9,90"\n');
    assert.deepEqual(commas.rejected[0]?.slice(0, 2), [2, "Variant Price"]);
  });

  it("reads Excel's first line sep=; as the delimiter, and counts it as a line", async () => {
    const { product, rejected } = await readTestFile(
      "sep=;\r\nHandle;Title;Variant SKU;Variant Price\r\nsep-tasse;Tasse;SEP-1;9.90\r\nx;X;X;free\r\n",
    );
    assert.deepEqual([product("sep-tasse").variants[0]?.price?.amount, rejected[0]?.slice(0, 2)], ["9.90", [4, "Variant Price"]]);
  });

  it("CAT-05: imports whole what Shopify takes: long texts, 300 variants, 120 values", async () => {
    const alt = `${"a".repeat(499)}😀 rest`;
    const texts = await readTestFile(
      testFile(
        ["Type", "Image Src", "Image Alt Text", "Body (HTML)", "Option1 Name", "Option1 Value"],
        ["alt", "Alt", "5", "Mugs", "https://img.example/x.jpg", alt, "", "", ""],
        ["type", "Type", "5", `${"b".repeat(99)}😀x`, "", "", "<p>text with words</p>\n".repeat(9_000), "", ""],
        ["ring", "Ring", "5", "Mugs", "", "", "", "Text", "e".repeat(250)],
        ["many", "Many", "5", "Mugs", "", "", "", "Size", "S0"],
        ...Array.from({ length: 299 }, (_, at) => ["many", "", "5", "", "", "", "", "", `S${at + 1}`]),
      ),
    );
    assert.deepEqual([texts.lost, texts.rejected, texts.notes], [[], [], []]);
    assert.equal(texts.product("alt").images[0]?.alt, alt);
    assert.equal(texts.entries[1]?.product.categoryNames[0], `${"b".repeat(99)}😀x`);
    assert.equal(texts.product("type").descriptionHtml.length, 23 * 9_000 - 1);
    assert.equal(texts.product("ring").variants[0]?.options[0]?.length, 250);
    assert.deepEqual([texts.product("many").variants.length, texts.product("many").options[0]?.values.length], [300, 300]);
  });

  it("CAT-05: cuts what is longer still between characters, and says how much", async () => {
    const family = "👨‍👩‍👧";
    const { product, lost, rejected, notes } = await readTestFile(
      testFile(
        ["Vendor", "Tags", "Image Src", "Image Alt Text", "Body (HTML)"],
        [
          "cut",
          `${"t".repeat(253)}${family}`,
          "5",
          "",
          "",
          "https://img.example/x.jpg",
          `${"a".repeat(511)}é😀`,
          `${"x".repeat(524_284)}<strong>y</strong>`,
        ],
        ["tags", "Tags", "5", "", Array.from({ length: 253 }, (_, at) => `t${at}`).join(","), "", "", ""],
      ),
    );
    assert.deepEqual([lost, rejected], [[], []]);
    assert.deepEqual(
      [product("cut").title, product("cut").images[0]?.alt, product("cut").descriptionHtml.length, product("tags").tags.length],
      ["t".repeat(253), `${"a".repeat(511)}é`, 524_284, 250],
    );
    assert.deepEqual(notes.toSorted(byText), [
      [2, "Body (HTML)", "has 524,302 characters; the last 18 are cut off"],
      [2, "Image Alt Text", "has 513 characters; the last 1 are cut off"],
      [2, "Title", "has 258 characters; the last 5 are cut off"],
      [3, "Tags", "a product can have 250 tags; 3 more tags are left out"],
    ]);
  });

  it("INV-01: adds up the units of locations, and counts nothing without a tracker", async () => {
    const columns = [
      "Variant SKU",
      "Variant Inventory Tracker",
      "Price / International",
      "Inventory quantity (Berlin)",
      "Inventory quantity (Rome)",
    ];
    const { entries, rejected } = await readTestFile(
      testFile(
        columns,
        ["multi", "Multi", "5.00", "ML-1", "shopify", "6.00", "3", "4"],
        ["untracked", "Untracked", "5.00", "ML-2", "", "6.00", "", ""],
      ),
    );
    assert.deepEqual(rejected, []);
    assert.deepEqual(
      entries.map(({ stock }) => stock),
      [[{ sku: "ML-1", onHand: 7, policy: COUNTED }], [{ sku: "ML-2", keepsUnits: true, policy: NOT_COUNTED }]],
    );
    const policies = await readTestFile(
      testFile(
        ["Variant SKU", "Variant Inventory Tracker", "Variant Inventory Policy", "Variant Inventory Qty"],
        ["voucher", "Gift voucher", "20.00", "UT-1", "", "continue", ""],
        ["backorder", "Backorder chair", "90.00", "UT-2", "shopify", "continue", "0"],
        ["chair", "Chair", "90.00", "UT-3", "shopify", "deny", "2"],
      ),
    );
    assert.deepEqual(
      policies.entries.map(({ stock }) => stock),
      [
        [{ sku: "UT-1", keepsUnits: true, policy: NOT_COUNTED }],
        [{ sku: "UT-2", onHand: 0, policy: BACKORDER }],
        [{ sku: "UT-3", onHand: 2, policy: COUNTED }],
      ],
    );
  });

  it("CAT-05: reads forints with the two decimals of ISO 4217", async () => {
    const { entries, rejected } = await readTestFile(testFile([], ["h1", "H1", "1990.00"], ["h2", "H2", "990.50"]), "HUF");
    assert.deepEqual(rejected, []);
    assert.deepEqual(
      entries.map(({ product }) => product.product!.variants[0]!.price!.amount),
      ["1990.00", "990.50"],
    );
  });

  it("rejects a row that names another currency than the import's", async () => {
    const { lost, rejected } = await readTestFile(testFile(["Currency"], ["a", "A", "1", "eur"], ["b", "B", "1", "USD"]));
    assert.deepEqual([lost, rejected], [[], [[3, "Currency", "is USD, and the import is in EUR"]]]);
  });
});
