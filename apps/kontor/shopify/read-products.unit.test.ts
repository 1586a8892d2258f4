import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Finding } from "./findings.ts";
import { readShopifyProducts } from "./read-products.ts";
import type { ReadProduct } from "./read-products.ts";

const { PUBLISHED, DRAFT, ARCHIVED } = ProductStatus;

async function* only(text: string): AsyncGenerator<string> {
  yield text;
}

async function read(text: string, currency = "EUR") {
  const findings: Finding[] = [];
  const products: ReadProduct[] = [];
  for await (const product of readShopifyProducts({ chunks: only(text), currency, report: (finding) => findings.push(finding) })) products.push(product);
  const entries = products.flatMap(({ entry }) => entry ?? []);
  return {
    entries,
    /** Of the first product, or of the one with this handle. */
    product: (handle = products[0]?.handle) => entries.find(({ product }) => product.product?.handle === handle)!.product.product!,
    lost: products.flatMap(({ handle, entry }) => (entry === undefined ? [handle] : [])),
    rejected: findings.flatMap(({ kind, line, column, message }) => (kind === "rejected" ? [[line, column, message]] : [])),
    notes: findings.flatMap(({ kind, line, column, message }) => (kind === "note" ? [[line, column, message]] : [])),
  };
}

/** A file with just these columns; Handle, Title and Variant Price stand before them. */
function file(columns: readonly string[], ...rows: readonly (readonly string[])[]): string {
  const cell = (text: string) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return [["Handle", "Title", "Variant Price", ...columns], ...rows].map((row) => row.map(cell).join(",")).join("\n");
}

const optionColumns = ["Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Variant SKU"];

describe("Shopify's product files", () => {
  it("makes products of consecutive rows: options by name, variants, images in their order, stock", async () => {
    const text = `\uFEFFHandle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Variant SKU,Variant Grams,Variant Inventory Qty,Variant Price,Variant Compare At Price,Variant Barcode,Image Src,Image Position,Image Alt Text,Variant Image\r
oil-lamp,Oil Lamp,"<p>Brass,\r\nwith a wick</p>",Lichthaus,Lamps,"brass, home , brass",true,Size,Small,LAMP-S,450,3,19.9,25,'0401,https://img.example/2.jpg,2,Lit,https://img.example/s.jpg\r
oil-lamp,,,,,,,,Large,LAMP-L,800,0,29.90,29.90,,,,,\r
oil-lamp,,,,,,,,,,,,,,,https://img.example/1.jpg,1,From above,\r
wick,Wick,,Lichthaus,,spare parts,true,Title,Default Title,,,7,2,,,,,,\r
`.slice(1);
    const { product, entries, rejected, notes } = await read(text);
    assert.deepEqual([rejected, notes], [[], []]);
    const lamp = product("oil-lamp");
    assert.deepEqual([lamp.title, lamp.vendor, lamp.descriptionHtml, lamp.tags, lamp.status], ["Oil Lamp", "Lichthaus", "<p>Brass,\r\nwith a wick</p>", ["brass", "home"], PUBLISHED]);
    assert.deepEqual(lamp.options.map(({ name, values }) => [name, values]), [["Size", ["Small", "Large"]]]);
    assert.deepEqual(lamp.images.map(({ url, alt }) => [url, alt]), [["https://img.example/1.jpg", "From above"], ["https://img.example/2.jpg", "Lit"]]);
    const facts = lamp.variants.map(({ sku, options, price, compareAtPrice, barcode, weightGrams, image }) => [sku, options, price?.amount, compareAtPrice?.amount, barcode, weightGrams, image?.url]);
    assert.deepEqual(facts, [
      ["LAMP-S", ["Small"], "19.90", "25.00", "0401", 450, "https://img.example/s.jpg"],
      // A price before that is not above the price is none.
      ["LAMP-L", ["Large"], "29.90", undefined, "", 800, undefined],
    ]);
    assert.deepEqual(entries[0]?.stock, [{ sku: "LAMP-S", onHand: 3 }, { sku: "LAMP-L", onHand: 0 }]);
    assert.deepEqual([[...entries[0]!.lines], entries[0]!.line], [[["LAMP-S", 2], ["LAMP-L", 4]], 2]);
    const wick = product("wick");
    assert.deepEqual([wick.options, wick.variants[0]?.options, wick.variants[0]?.sku], [[], [], "wick"], '"Title" with "Default Title" is no option');
    assert.deepEqual(entries.map((entry) => [entry.product.categoryNames, entry.generatedSkus]), [[["Lamps"], 0], [["spare parts"], 1]]);
  });

  it("takes the category from its column, else from the type, else from the first tag", async () => {
    const { entries } = await read(
      file(
        ["Product Category", "Type", "Tags"],
        ["a", "A", "1", "Home > Lighting > Lamps", "Light", "x"],
        ["b", "B", "1", "Uncategorized", "Light", "x"],
        ["c", "C", "1", "", "", "first, second"],
        ["d", "D", "1", "", "", ""],
      ),
    );
    assert.deepEqual(entries.map(({ product }) => product.categoryNames), [["Lamps"], ["Light"], ["first"], []]);
  });

  it("takes the status from its column, and a draft is what is not published", async () => {
    const { entries, notes } = await read(
      file(
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
    assert.deepEqual(entries.map(({ product }) => product.product?.status), [PUBLISHED, DRAFT, DRAFT, ARCHIVED, PUBLISHED, DRAFT, DRAFT]);
    assert.deepEqual(notes, [[8, "Status", '"unlisted" is none of active, draft and archived; the product is a draft']]);
  });

  it("CAT-05: rejects a row whose price is missing, negative or none of the currency, naming column and line; the others stay", async () => {
    const text = file(
      optionColumns,
      ["cap", "Cap", "x", "Size", "S", "", "", "CAP-S"],
      ["cap", "", "9.999", "", "M", "", "", "CAP-M"],
      ["cap", "", "-1", "", "L", "", "", "CAP-L"],
      ["cap", "", "", "", "XL", "", "", "CAP-XL"],
      ["cap", "", "9.9900", "", "XXL", "", "", "CAP-XXL"],
      ["hat", "Hat", "free", "", "", "", "", "HAT"],
    );
    const { product, lost, rejected } = await read(text);
    assert.deepEqual(product("cap").variants.map(({ sku, price }) => [sku, price?.amount]), [["CAP-XXL", "9.99"]]);
    assert.deepEqual(product("cap").title, "Cap", "a product keeps what its first row says even when that row's variant is rejected");
    assert.deepEqual(lost, ["hat"]);
    assert.deepEqual(rejected.map(([line, column]) => [line, column]), [2, 3, 4, 5, 7].map((line) => [line, "Variant Price"]));
    assert.deepEqual(rejected.map(([, , message]) => message), [
      'must be decimal text such as 19.99, not "x"',
      'must have at most 2 decimals in EUR, not "9.999"',
      'must not be below zero, not "-1"',
      "is missing",
      'must be decimal text such as 19.99, not "free"',
    ]);
    const { product: yen } = await read(file([], ["tea", "Tea", "1200.00"]), "JPY");
    assert.deepEqual([yen().variants[0]?.price?.currency, yen().variants[0]?.price?.amount], ["JPY", "1200"]);
  });

  it("makes a SKU from handle and options where there is none, the same each time and unique in the file", async () => {
    const text = file(
      optionColumns,
      ["cap", "Cap", "1", "Size", "Größe L", "Colour", "Navy/Blue", ""],
      ["cap", "", "1", "", "Größe L", "", "紺", ""],
      ["cap-grosse-l-navy-blue", "Other", "1", "", "", "", "", ""],
    );
    const skus = (await read(text)).entries.flatMap(({ product }) => product.product!.variants.map(({ sku }) => sku));
    assert.equal(skus.length, new Set(skus).size);
    assert.deepEqual([skus[0], skus[2]], ["cap-grosse-l-navy-blue", "cap-grosse-l-navy-blue-2"]);
    assert.match(skus[1]!, /^cap-grosse-l-[0-9a-f]{8}$/, "what has no letters of ours is told apart by a hash");
    assert.deepEqual((await read(text)).entries.flatMap(({ product }) => product.product!.variants.map(({ sku }) => sku)), skus);
  });

  it("rejects the later row of a SKU that is used twice, and tells of a SKU that had to be changed", async () => {
    const { product, lost, rejected, notes } = await read(
      file(["Variant SKU"], ["a", "A", "1", "X-1"], ["b", "B", "1", "X-1"], ["c", "C", "1", "'007 A/B"], ["d", "D", "1", "'008"]),
    );
    assert.deepEqual([lost, rejected], [["b"], [[3, "Variant SKU", "X-1 stands on line 2 already"]]]);
    assert.deepEqual([product("c").variants[0]?.sku, product("d").variants[0]?.sku], ["007-A-B", "008"]);
    assert.deepEqual(notes, [[4, "Variant SKU", "cannot have spaces or slashes and is kept as 007-A-B"]]);
  });

  it("rejects variants that nobody could tell apart, lack an option, or have one that the product has not", async () => {
    const { product, rejected } = await read(
      file(
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
    assert.deepEqual(product("cap").variants.map(({ sku }) => sku), ["A", "D"]);
    assert.deepEqual(rejected, [
      [3, "Option1 Value", "is the choice of line 2 already"],
      [4, "Option2 Value", "is missing"],
      [7, "Option1 Value", "is given, but the product's first row does not name this option"],
      [8, "Option1 Value", "is missing: line 6 is the product's only variant"],
    ]);
  });

  it("takes stock as it stands: less than none is none, with a note, and no number rejects the row", async () => {
    const { entries, rejected, notes } = await read(
      file(["Variant Inventory Qty"], ["a", "A", "1", "-4"], ["b", "B", "1", "12"], ["c", "C", "1", ""], ["d", "D", "1", "many"], ["e", "E", "1", "3.0"]),
    );
    assert.deepEqual(entries.map(({ stock }) => stock.map(({ onHand }) => onHand)), [[0], [12], [], [3]]);
    assert.deepEqual(notes, [[2, "Variant Inventory Qty", "-4 is below zero and counts as 0"]]);
    assert.deepEqual(rejected, [[5, "Variant Inventory Qty", 'must be a whole number, not "many"']]);
  });

  it("reads weights: grams are grams, another weight counts by its unit", async () => {
    const { entries } = await read(file(["Variant Grams", "Variant Weight Unit"], ["a", "A", "1", "1500", "kg"]));
    assert.equal(entries[0]?.product.product?.variants[0]?.weightGrams, 1500);
    const rows = [["a", "A", "1", "1.5", "kg"], ["b", "B", "1", "1", "lb"], ["c", "C", "1", "2", "oz"], ["d", "D", "1", "5", ""], ["e", "E", "1", "5", "stone"]];
    const weights = await read(file(["Variant Weight", "Variant Weight Unit"], ...rows));
    assert.deepEqual(weights.entries.map(({ product }) => product.product?.variants[0]?.weightGrams), [1500, 454, 57, 5, 0]);
    assert.deepEqual(weights.notes, [[6, "Variant Weight", '"stone" is no unit of weight: g, kg, oz or lb; it is left out']]);
  });

  it("leaves out an image that has no address, and one that stands there twice", async () => {
    const { product, notes, rejected } = await read(
      file(
        ["Image Src"],
        ["a", "A", "1", "https://img.example/a b.jpg"],
        ["a", "", "", "C:\\photos\\a.jpg"],
        ["a", "", "", "//img.example/c.jpg"],
        ["a", "", "", "https://img.example/c.jpg"],
        ["a", "", "", "javascript:alert(1)"],
      ),
    );
    assert.deepEqual(product().images.map(({ url }) => url), ["https://img.example/a%20b.jpg", "https://img.example/c.jpg"]);
    assert.deepEqual(notes.map(([line]) => line), [3, 6]);
    assert.deepEqual(rejected, []);
  });

  it("rejects rows without a handle, a product without a title, and rows of a handle that come again later", async () => {
    const { entries, lost, rejected } = await read(
      file(["Vendor"], ["a", "A", "1", ""], ["", "No handle", "1", ""], ["b", "", "1", ""], ["b", "", "2", ""], ["c", "C", "1", ""], ["a", "", "1", ""], ["", "", "", ""]),
    );
    assert.deepEqual(entries.map(({ product }) => product.product?.handle), ["a", "c"]);
    assert.deepEqual(lost, ["b"]);
    assert.deepEqual(rejected, [
      [3, "Handle", "is missing"],
      [4, "Title", "is missing in the first row of the product, which is left out with all its rows"],
      [7, "Handle", "the product of line 2 has it, and its rows must follow each other"],
    ]);
  });

  it("keeps handles that addresses can have, and makes others so", async () => {
    const { entries, notes } = await read(file([], ["Blue_Cap--1", "A", "1"], ["帽子", "B", "1"], ["x".repeat(300), "C", "1"]));
    const handles = entries.map(({ product }) => product.product!.handle);
    assert.equal(handles[0], "blue-cap-1");
    assert.match(handles[1]!, /^[0-9a-f]{8}$/);
    assert.equal(handles[2]!.length, 255);
    assert.equal(notes.length, 3);
  });

  it("rejects a product that catalog would refuse with all others of its batch, and names what is wrong with it", async () => {
    const { lost, rejected } = await read(file(["Vendor", "Variant SKU"], ["a", "t".repeat(256), "1", "", ""], ["b", "B", "1", "v".repeat(256), ""], ["c", "C", "1", "", "s".repeat(101)]));
    assert.deepEqual(lost, ["a", "b", "c"]);
    assert.deepEqual(rejected, [
      [2, "Title", "must have at most 255 characters; the product is left out"],
      [3, "Vendor", "must have at most 255 characters; the product is left out"],
      [4, "Variant SKU", "must have at most 100 characters"],
    ]);
  });

  it("reads semicolons and tabs, columns in any order, case and of Shopify's newer names", async () => {
    const semicolons = await read("title;URL HANDLE;Price;SKU;Inventory quantity\nTea;tea;1;T;4\n");
    assert.deepEqual(semicolons.entries.map(({ stock }) => stock), [[{ sku: "T", onHand: 4 }]]);
    const tabs = await read("Title\tHandle\tVariant Price\nTea\ttea\t1\n");
    assert.equal(tabs.product().title, "Tea");
  });

  it("goes on after a broken row, and says which rows are not UTF-8", async () => {
    const { entries, rejected } = await read('Handle,Title,Variant Price\na,"A,1\nb,B,1\nc,M\uFFFDller,1\nd,D,1\n');
    assert.deepEqual(entries.map(({ product }) => product.product?.handle), ["b", "d"]);
    assert.deepEqual(rejected, [
      [2, "", "opens a quote that is not closed"],
      [4, "Title", "has characters that are not UTF-8: save the file as CSV UTF-8"],
    ]);
  });

  it("refuses a file that is none: empty, no CSV, or without a column that is needed, by its name", async () => {
    await assert.rejects(read(""), { name: "CommandError", message: "the file is empty" });
    await assert.rejects(read("PK\u0003\u0004..."), { name: "CommandError", message: "the file is not CSV: save it as CSV UTF-8" });
    await assert.rejects(read("Handle,Body\na,b"), {
      name: "CommandError",
      message: 'the file\'s first line has no column "Title" and "Variant Price": it is not a product export of Shopify',
    });
  });
});
