import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openCatalog, shopper, simple } from "./test-catalog.ts";

type Outcomes = Awaited<ReturnType<Awaited<ReturnType<typeof openCatalog>>["importProducts"]>>;

const summary = ({ outcomes }: Outcomes) => outcomes.map(({ handle, outcome }) => `${handle} ${outcome}`);

describe("catalog: names and limits", { concurrency: 2 }, () => {
  it("CAT-04: a title is nobody's: each product gets a handle of its own, also of ten at the same time", async () => {
    const { create, edge, admin } = await openCatalog();
    const emoji = await create(simple("e", { title: "😀😀" }));
    const dashes = await create(simple("d", { title: "---" }));
    assert.notEqual(emoji.handle, dashes.handle);
    const first = await create(simple("a", { title: "One shirt" }));
    const second = await create(simple("b", { title: "One shirt" }));
    assert.deepEqual([first.handle, second.handle], ["one-shirt", "one-shirt-2"]);
    const ten = await Promise.all(Array.from({ length: 10 }, (_, at) => create(simple(`t${at}`, { title: "Two shirts" }))));
    assert.equal(new Set(ten.map(({ handle }) => handle)).size, 10);
    const unnamed = await edge.updateProduct(
      { product: second.id, updateMask: { paths: ["title", "handle"] }, title: "Two shirts" },
      admin(),
    );
    assert.equal(unnamed.handle, "two-shirts-11");
    const slugs = await Promise.all(["Größe", "Grosse"].map((name) => edge.createCategory({ name }, admin())));
    assert.deepEqual(slugs.map(({ slug }) => slug).toSorted(), ["grosse", "grosse-2"]);
  });

  it("CAT-05: a product has what Shopify's have: a long description, 2,048 variants with as many values", async () => {
    const { create, get, settle, list } = await openCatalog();
    const values = Array.from({ length: 2_048 }, (_, at) => `S${at} ${"v".repeat(100)}`);
    const price = { currency: "EUR", amount: "1" };
    const variants = values.map((value, at) => ({ sku: `many-${at}`, options: [value], price }));
    const descriptionHtml = Array.from({ length: 60_000 }, (_, at) => `<p>w${at}`)
      .join("")
      .slice(0, 524_288);
    await create({ title: "Many", status: 2, descriptionHtml, options: [{ name: "Size", values }], variants });
    const many = await get("many");
    assert.deepEqual(
      [many.variants.length, many.options[0]?.values.length, many.descriptionHtml.length],
      [2_048, 2_048, descriptionHtml.length],
    );
    await settle();
    assert.deepEqual(
      (await list({ q: "many" })).items.map(({ id }) => id),
      [many.id],
    );
  });

  it("CAT-04: lists the largest products on pages that a message can hold", async () => {
    const { importProducts, list, listAll, settle } = await openCatalog();
    const descriptionHtml = "wide ".repeat(100_000);
    const products = Array.from({ length: 20 }, (_, at) => ({ product: simple(`wide-${at}`, { handle: `wide-${at}`, descriptionHtml }) }));
    await importProducts(products);
    await settle();
    for (const request of [{}, { q: "wide" }, { sort: "price", currency: "EUR" }]) {
      assert.equal((await list({ ...request, limit: 100 })).items.length, 7);
      assert.equal(new Set((await listAll(request)).map(({ id }) => id)).size, 20);
    }
  });

  it("CAT-06: finds a variant by its barcode, and a description by its text but not by its markup", async () => {
    const { create, settle, list } = await openCatalog();
    const variants = [{ sku: "sr-000", barcode: "4006381333931", price: { currency: "EUR", amount: "5.00" } }];
    const mill = await create({
      title: "Kaffeemühle",
      status: 2,
      variants,
      descriptionHtml: '<p class="kitchen">Gro&szlig;e M<b>ühle</b>n</p><script>grind()</script>',
    });
    await settle();
    const finds = async (q: string) => (await list({ q })).items.map(({ id }) => id);
    for (const q of ["4006381333931", "mühle", "große", "mühlen", "sr-000"]) assert.deepEqual(await finds(q), [mill.id], q);
    for (const q of ["kitchen", "szlig", "grind"]) assert.deepEqual(await finds(q), [], q);
  });

  it("CAT-04: what an import says of SKUs holds in any order of its products, in a circle too", async () => {
    const skus = async (...handles: string[]) =>
      Promise.all(handles.map(async (handle) => (await get(handle)).variants.map(({ sku }) => sku)));
    const { importProducts, get } = await openCatalog();
    await importProducts([{ product: simple("X", { handle: "a" }) }, { product: simple("Y", { handle: "b" }) }]);
    const moved = [{ product: simple("X", { handle: "b" }) }, { product: simple("Z", { handle: "a" }) }];
    assert.deepEqual(summary(await importProducts(moved)), ["b UPDATED", "a UPDATED"]);
    assert.deepEqual(await skus("a", "b"), [["Z"], ["X"]]);
    assert.deepEqual(summary(await importProducts(moved)), ["b UNCHANGED", "a UNCHANGED"]);
    const swapped = [{ product: simple("X", { handle: "a" }) }, { product: simple("Z", { handle: "b" }) }];
    assert.deepEqual(summary(await importProducts(swapped)), ["a UPDATED", "b UPDATED"]);
    assert.deepEqual(await skus("a", "b"), [["X"], ["Z"]]);
    // A product that is rejected keeps its SKU, and so the other does not get it.
    const { outcomes } = await importProducts([
      { product: simple("X", { handle: "b" }) },
      { product: simple("W", { handle: "a", categories: ["cat_nowhere"] }) },
    ]);
    assert.deepEqual(
      outcomes.map(({ handle, reason }) => [handle, reason]),
      [
        ["b", "SKU_TAKEN"],
        ["a", "INVALID_REQUEST"],
      ],
    );
    assert.deepEqual(await skus("a", "b"), [["X"], ["Z"]]);
  });

  it("CAT-03: finds categories by their names in any case, never by what their slugs would be", async () => {
    const { importProducts, edge, admin } = await openCatalog();
    const names = ["C++", "C#", "Übergröße", "Ubergrosse", "Shirts", "shirts", "übergröße", "❤", "---"];
    const products = names.map((name, at) => ({ product: simple(`ca${at}`, { handle: `ca${at}` }), categoryNames: [name] }));
    await edge.createCategory({ name: "Men" }, admin()).then(({ id }) => edge.createCategory({ name: "Shirts", parent: id }, admin()));
    const before = (await edge.listCategories({ limit: 100 }, shopper())).items.find(({ name }) => name === "Shirts")!;
    await importProducts(products);
    const { items } = await edge.listCategories({ limit: 100 }, shopper());
    const made = items.filter(({ id, name }) => id !== before.id && name !== "Men");
    assert.deepEqual(made.map(({ name }) => name).toSorted(), ["---", "C#", "C++", "Ubergrosse", "Übergröße", "❤"].toSorted());
    assert.equal(new Set(items.map(({ slug }) => slug)).size, items.length);
    assert.equal(summary(await importProducts(products)).filter((text) => text.endsWith("UNCHANGED")).length, names.length);
  });
});
