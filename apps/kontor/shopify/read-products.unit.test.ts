import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { byText, readTestFile, testFile } from "./read-test-file.ts";

const { PUBLISHED, DRAFT, ARCHIVED } = ProductStatus;

describe("Shopify's product files", () => {
  it("makes products of consecutive rows: options by name, variants, images in their order, stock", async () => {
    const text =
      `\uFEFFHandle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Variant Barcode,Image Src,Image Position,Image Alt Text,Variant Image\r
oil-lamp,Oil Lamp,"<p>Brass,\r\nwith a wick</p>",Lichthaus,Lamps,"brass, home , brass",true,Size,Small,LAMP-S,450,3,19.9,25,'0401,https://img.example/2.jpg,2,Lit,https://img.example/s.jpg\r
oil-lamp,,,,,,,,Large,LAMP-L,800,0,29.90,29.90,,,,,\r
oil-lamp,,,,,,,,,,,,,,,https://img.example/1.jpg,1,From above,\r
wick,Wick,,Lichthaus,,spare parts,true,Title,Default Title,,,7,2,,,,,,\r
`.slice(1);
    const { product, entries, rejected, notes } = await readTestFile(text);
    assert.deepEqual([rejected, notes], [[], []]);
    const lamp = product("oil-lamp");
    assert.deepEqual(
      [lamp.title, lamp.vendor, lamp.descriptionHtml, lamp.tags, lamp.status],
      ["Oil Lamp", "Lichthaus", "<p>Brass,\r\nwith a wick</p>", ["brass", "home"], PUBLISHED],
    );
    assert.deepEqual(
      lamp.options.map(({ name, values }) => [name, values]),
      [["Size", ["Small", "Large"]]],
    );
    assert.deepEqual(
      lamp.images.map(({ url, alt }) => [url, alt]),
      [
        ["https://img.example/1.jpg", "From above"],
        ["https://img.example/2.jpg", "Lit"],
      ],
    );
    const facts = lamp.variants.map(({ sku, options, price, compareAtPrice, barcode, weightGrams, image }) => [
      sku,
      options,
      price?.amount,
      compareAtPrice?.amount,
      barcode,
      weightGrams,
      image?.url,
    ]);
    assert.deepEqual(facts, [
      ["LAMP-S", ["Small"], "19.90", "25.00", "0401", 450, "https://img.example/s.jpg"],
      // A price before that is not above the price is none.
      ["LAMP-L", ["Large"], "29.90", undefined, "", 800, undefined],
    ]);
    assert.deepEqual(entries[0]?.stock, [
      { sku: "LAMP-S", onHand: 3 },
      { sku: "LAMP-L", onHand: 0 },
    ]);
    assert.deepEqual(
      [[...entries[0].lines], entries[0].line],
      [
        [
          ["LAMP-S", 2],
          ["LAMP-L", 4],
        ],
        2,
      ],
    );
    const wick = product("wick");
    assert.deepEqual(
      [wick.options, wick.variants[0]?.options, wick.variants[0]?.sku],
      [[], [], "wick"],
      '"Title" with "Default Title" is no option',
    );
    assert.deepEqual(
      entries.map((entry) => [entry.product.categoryNames, entry.generatedSkus]),
      [
        [["Lamps"], 0],
        [["spare parts"], 1],
      ],
    );
  });

  it("takes the category from its column, else from the type, else from the first tag", async () => {
    const { entries } = await readTestFile(
      testFile(
        ["Product Category", "Type", "Tags"],
        ["a", "A", "1", "Home > Lighting > Lamps", "Light", "x"],
        ["b", "B", "1", "Uncategorized", "Light", "x"],
        ["c", "C", "1", "", "", "first, second"],
        ["d", "D", "1", "", "", ""],
      ),
    );
    assert.deepEqual(
      entries.map(({ product }) => product.categoryNames),
      [["Lamps"], ["Light"], ["first"], []],
    );
  });

  it("takes the status from its column, and a draft is what is not published", async () => {
    const { entries, notes } = await readTestFile(
      testFile(
        ["Published", "Status"],
        ["a", "A", "1", "true", "active"],
        ["b", "B", "1", "FALSE", "active"],
        ["c", "C", "1", "true", "draft"],
        ["d", "D", "1", "", "archived"],
        ["e", "E", "1", "", ""],
        ["f", "F", "1", "false", ""],
        ["g", "G", "1", "true", "unlisted"],
      ),
    );
    assert.deepEqual(
      entries.map(({ product }) => product.product?.status),
      [PUBLISHED, DRAFT, DRAFT, ARCHIVED, PUBLISHED, DRAFT, DRAFT],
    );
    assert.deepEqual(notes, [[8, "Status", '"unlisted" is none of active, draft and archived; the product is a draft']]);
  });

  it("leaves out an image without an address, and one that occurs twice", async () => {
    const { product, notes, rejected } = await readTestFile(
      testFile(
        ["Image Src"],
        ["a", "A", "1", "https://img.example/a b.jpg"],
        ["a", "", "", "C:\\photos\\a.jpg"],
        ["a", "", "", "//img.example/c.jpg"],
        ["a", "", "", "https://img.example/c.jpg"],
        ["a", "", "", "javascript:alert(1)"],
      ),
    );
    assert.deepEqual(
      product().images.map(({ url }) => url),
      ["https://img.example/a%20b.jpg", "https://img.example/c.jpg"],
    );
    assert.deepEqual(
      notes.map(([line]) => line),
      [3, 6],
    );
    assert.deepEqual(rejected, []);
  });

  it("rejects rows without a handle, a product without a title, and rows of a handle that come again later", async () => {
    const { entries, lost, rejected } = await readTestFile(
      testFile(
        ["Vendor"],
        ["a", "A", "1", ""],
        ["", "No handle", "1", ""],
        ["b", "", "1", ""],
        ["b", "", "2", ""],
        ["c", "C", "1", ""],
        ["a", "", "1", ""],
        ["", "", "", ""],
      ),
    );
    assert.deepEqual(
      entries.map(({ product }) => product.product?.handle),
      ["a", "c"],
    );
    assert.deepEqual(lost, ["b"]);
    assert.deepEqual(rejected, [
      [3, "Handle", "is missing"],
      [4, "Title", "is missing in the first row of the product, which is left out with all its rows"],
      [7, "Handle", "the product of line 2 has it, and the rows of a product must follow each other"],
    ]);
  });

  it("keeps handles that are valid in addresses, and converts others", async () => {
    const { entries, notes } = await readTestFile(testFile([], ["Blue_Cap--1", "A", "1"], ["帽子", "B", "1"], ["x".repeat(300), "C", "1"]));
    const handles = entries.map(({ product }) => product.product!.handle);
    assert.match(handles[0]!, /^blue-cap-1-[0-9a-f]{8}$/, "another handle may be blue-cap-1");
    assert.match(handles[1]!, /^[0-9a-f]{8}$/);
    assert.equal(handles[2]!.length, 255);
    assert.equal(notes.length, 3);
  });

  it("cuts or leaves out what is too long, with a note, and never loses the product", async () => {
    const columns = ["Vendor", "Variant SKU", "Option1 Name", "Option1 Value", "Variant Barcode"];
    const { entries, lost, rejected, notes } = await readTestFile(
      testFile(
        columns,
        ["a", "t".repeat(256), "1", "v".repeat(300), "s".repeat(101), "", "", ""],
        ["b", "B", "1", "", "B", "n".repeat(256), "o".repeat(256), "8".repeat(256)],
      ),
    );
    assert.deepEqual([lost, rejected], [[], []]);
    const [a, b] = entries.map(({ product }) => product.product!);
    assert.deepEqual([a!.title.length, a!.vendor.length, a!.variants[0]!.sku.length], [255, 255, 100]);
    assert.match(a!.variants[0]!.sku, /^s{91}-[0-9a-f]{8}$/);
    assert.deepEqual([b!.options[0]!.name.length, b!.variants[0]!.options[0]!.length, b!.variants[0]!.barcode], [255, 255, ""]);
    assert.deepEqual(notes.toSorted(byText), [
      [2, "Title", "has 256 characters; the last 1 are cut off"],
      [2, "Variant SKU", `has 101 characters, more than 100, and is stored as ${a!.variants[0]!.sku}`],
      [2, "Vendor", "has 300 characters; the last 45 are cut off"],
      [3, "Option1 Name", "has 256 characters; the last 1 are cut off"],
      [3, "Option1 Value", "has 256 characters; the last 1 are cut off"],
      [3, "Variant Barcode", "must have at most 255 characters; it is left out"],
    ]);
  });

  it("reads semicolons and tabs, columns in any order, case and of Shopify's newer names", async () => {
    const semicolons = await readTestFile("title;URL HANDLE;Price;SKU;Inventory quantity\nTea;tea;1;T;4\n");
    assert.deepEqual(
      semicolons.entries.map(({ stock }) => stock),
      [[{ sku: "T", onHand: 4 }]],
    );
    const tabs = await readTestFile("Title\tHandle\tVariant Price\nTea\ttea\t1\n");
    assert.equal(tabs.product().title, "Tea");
  });

  it("continues after a broken row, and says which rows are not UTF-8", async () => {
    const { entries, rejected } = await readTestFile('Handle,Title,Variant Price\na,"A,1\nb,B,1\nc,M\uFFFDller,1\nd,D,1\n');
    assert.deepEqual(
      entries.map(({ product }) => product.product?.handle),
      ["b", "d"],
    );
    assert.deepEqual(rejected, [
      [2, "", "opens a quote that is not closed"],
      [4, "Title", "has characters that are not UTF-8: save the file as CSV UTF-8"],
    ]);
  });

  it("refuses a file that is empty, no CSV, or without a required column, which it names", async () => {
    await assert.rejects(readTestFile(""), { name: "CommandError", message: "the file is empty" });
    await assert.rejects(readTestFile("PK\u0003\u0004..."), { name: "CommandError", message: "the file is not CSV: save it as CSV UTF-8" });
    await assert.rejects(readTestFile("Handle,Body\na,b"), {
      name: "CommandError",
      message: 'the file\'s first line has no column "Title" and "Variant Price": it is not a product export of Shopify',
    });
  });
});
