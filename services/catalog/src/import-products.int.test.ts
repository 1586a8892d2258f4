import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openCatalog, refusalsAmong, shopper, simple } from "./test-catalog.ts";

type Outcomes = Awaited<ReturnType<Awaited<ReturnType<typeof openCatalog>>["importProducts"]>>;

const summary = ({ outcomes }: Outcomes) => outcomes.map(({ handle, outcome }) => `${handle} ${outcome}`);
const eur = { currency: "EUR", amount: "1.00" };
const options = [{ name: "Size", values: ["S", "M"] }];
const two = (first: string, second: string) => ({
  options,
  variants: [
    { sku: first, options: ["S"], price: eur },
    { sku: second, options: ["M"], price: eur },
  ],
});

describe("catalog: imports", { concurrency: 4 }, () => {
  it("CAT-04: creates, updates and leaves alone by handle; a repeat changes nothing", async () => {
    const { importProducts, log, get, edge, admin } = await openCatalog();
    const products = [
      { product: simple("a", { title: "Shirt", ...two("a", "b") }), categoryNames: ["Clothes", " clothes ", "Été", ""] },
      { product: simple("c", { handle: "cup" }), categoryNames: ["Kitchen"] },
      { product: simple("d", { title: "鞋子" }) },
    ];
    assert.deepEqual(
      (await importProducts(products)).outcomes.map(({ outcome }) => outcome),
      ["CREATED", "CREATED", "CREATED"],
    );
    const events = (await log()).length;
    assert.deepEqual(
      (await importProducts(products)).outcomes.map(({ outcome }) => outcome),
      ["UNCHANGED", "UNCHANGED", "UNCHANGED"],
    );
    assert.equal((await log()).length, events);
    const shirt = await get("shirt");
    const names = await Promise.all(shirt.categories.map(async (category) => (await edge.getCategory({ category }, shopper())).slug));
    assert.deepEqual(names, ["clothes", "ete"]);
    const changed = await importProducts([{ product: { ...products[1]!.product, title: "Mug" }, categoryNames: ["KITCHEN"] }]);
    assert.deepEqual(summary(changed), ["cup UPDATED"]);
    const cup = await get("cup");
    assert.deepEqual([cup.title, cup.version], ["Mug", 2]);
    // The shop's own decision stays when the import says nothing about it.
    await edge.archiveProduct({ product: cup.id }, admin());
    const { status: _, ...without } = { ...products[1]!.product, title: "Mug" };
    assert.deepEqual(summary(await importProducts([{ product: without, categoryNames: ["Kitchen"] }])), ["cup UNCHANGED"]);
  });

  it("CAT-04: a SKU of another product is left out, and rejects a product that has nothing else", async () => {
    const { importProducts, create, get } = await openCatalog();
    await create(simple("taken"));
    const products = [
      { product: simple("x", { handle: "one", ...two("one", "taken") }) },
      { product: simple("x", { handle: "two", ...two("one", "two") }) },
      { product: simple("one", { handle: "three" }) },
      { product: simple("taken", { handle: "four" }) },
    ];
    for (const expected of ["CREATED", "UNCHANGED"]) {
      const { outcomes } = await importProducts(products);
      assert.deepEqual(
        outcomes.map(({ handle, outcome, reason, rejectedSkus }) => [handle, outcome, reason, rejectedSkus]),
        [
          ["one", expected, "", ["taken"]],
          ["two", expected, "", ["one"]],
          ["three", "REJECTED", "SKU_TAKEN", ["one"]],
          ["four", "REJECTED", "SKU_TAKEN", ["taken"]],
        ],
      );
    }
    assert.deepEqual(
      (await get("two")).variants.map(({ sku }) => sku),
      ["two"],
    );
  });

  it("CAT-04: a SKU may move to a later product of the same import, and a handle may come twice", async () => {
    const { importProducts, get, hosted } = await openCatalog();
    await importProducts([{ product: simple("x", { handle: "one", ...two("a", "b") }) }]);
    const moved = await importProducts([
      { product: simple("a", { handle: "one", title: "One" }) },
      { product: simple("b", { handle: "two", title: "Two" }) },
      { product: simple("b", { handle: "two", title: "Two again" }) },
    ]);
    assert.deepEqual(summary(moved), ["one UPDATED", "two CREATED", "two UPDATED"]);
    const [one, other] = [await get("one"), await get("two")];
    assert.deepEqual(
      [one.variants.map(({ sku }) => sku), other.variants.map(({ sku }) => sku), other.title, other.version],
      [["a"], ["b"], "Two again", 1],
    );
    assert.equal((await hosted.log.history(hosted.database, other.id)).length, 1);
  });

  it("CAT-04: what is wrong rejects its own product only, with the reason", async () => {
    const { importProducts } = await openCatalog();
    const { outcomes } = await importProducts([
      { product: simple("a", { options, variants: [{ sku: "a", options: ["XL"], price: eur }] }) },
      { product: simple("b", { categories: ["cat_nowhere"] }) },
      { product: simple("c"), categoryNames: ["x".repeat(256)] },
      { product: simple("e") },
    ]);
    assert.deepEqual(
      outcomes.map(({ outcome, reason, message }) => [outcome, reason, message]),
      [
        ["REJECTED", "INVALID_REQUEST", "variants[0].options[0] is not a value of Size"],
        ["REJECTED", "INVALID_REQUEST", "product.categories[0] is not a category"],
        ["REJECTED", "INVALID_REQUEST", "categoryNames[0] must have at most 255 characters"],
        ["CREATED", "", ""],
      ],
    );
  });

  it("CAT-04, S12: a repeat with the same key gets the first response, and imports at the same time keep every SKU one product's", async () => {
    const { client, importProducts, listAll } = await openCatalog();
    const request = { products: [{ product: simple("k", { handle: "product-k" }) }] };
    const first = await client.importProducts(request, testCall({ idempotencyKey: "key" }));
    assert.deepEqual(await client.importProducts(request, testCall({ idempotencyKey: "key" })), first);
    assert.deepEqual(summary(first), ["product-k CREATED"]);
    const batches = Array.from({ length: 4 }, (_, nth) =>
      Array.from({ length: 20 }, (_, at) => ({
        product: simple(`s-${(at * (nth + 1)) % 20}`, { handle: `h-${nth < 2 ? at : 19 - at}`, title: `T${nth}` }),
      })),
    );
    const outcomes = await Promise.allSettled(batches.map((batch) => importProducts(batch)));
    for (const { reason } of refusalsAmong(outcomes)) assert.match(reason, /^(HANDLE|SKU)_TAKEN$/);
    const skus = (await listAll({})).flatMap(({ variants }) => variants.map(({ sku }) => sku));
    assert.equal(new Set(skus).size, skus.length);
  });
});
