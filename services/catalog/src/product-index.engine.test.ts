import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { addRebuild } from "./product-index.ts";
import { openSearchedCatalog } from "./test-search.ts";
import { simple } from "./test-catalog.ts";

const foundWithinMs = 5_000;

describe("catalog: search in OpenSearch", () => {
  it("CAT-07 DAT-05: a typing error and another inflection find a product within 5 s of its creation", async () => {
    const { create, find, settle, hosted, search } = await openSearchedCatalog();
    const began = performance.now();
    const shirt = await create(simple("os-1", { title: "Ocean Blue Shirt", vendor: "Acme" }));
    await settle();
    // Only OpenSearch can respond now.
    await hosted.database.run(sql`delete from search_documents`);
    for (const q of ["oceam shrit", "ocean shirts", "blue shi", "os-1"]) assert.deepEqual(await find(q), [shirt.id], q);
    assert.ok(performance.now() - began < foundWithinMs);
    assert.equal(search.degraded, false);
    assert.deepEqual(await find("ocean trousers"), []);
  });

  it("CAT-07: an index that is lost is rebuilt from the database, by itself, and meanwhile PostgreSQL is searched", async () => {
    const { create, edge, admin, find, settle, search, openSearch, probed } = await openSearchedCatalog();
    const products = [];
    for (const sku of ["a", "b", "c"]) products.push((await create(simple(sku, { title: `Shirt ${sku}` }))).id);
    await edge.updateProduct({ product: products[0]!, updateMask: { paths: ["title"] }, title: "Jacket" }, admin());
    await settle();
    const indexes = async () => Object.keys((await openSearch.request("GET", `/${openSearch.prefix}*`)) as object);
    const before = await indexes();
    assert.equal(before.length, 1);
    await openSearch.request("DELETE", `/${before.join()}`);
    assert.deepEqual((await find("shirts")).toSorted(), products.slice(1));
    // The rebuild was scheduled beside the response, so it may not be there yet; once it counts, its task still tidies up.
    await probed();
    await settle();
    assert.deepEqual((await find("shirt")).toSorted(), products.slice(1));
    assert.equal(search.degraded, false);
    const index = openSearch.of("catalog").index("products");
    assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, products);
    assert.deepEqual((await index.query({ text: "jackets", sort: [], limit: 10 })).ids, products.slice(0, 1));
    assert.equal((await indexes()).length, 1);
  });

  it("CAT-07, CON-03: is rebuilt while it is searched and while products change", async () => {
    const { create, edge, admin, find, settle, hosted, openSearch } = await openSearchedCatalog();
    const made = await Promise.all(["a", "b", "c", "d"].map((sku) => create(simple(sku, { title: `Shirt ${sku}` }))));
    await settle();
    const [first, second, ...others] = made.map(({ id }) => id).toSorted();
    // A document without a product is missing afterwards.
    const index = openSearch.of("catalog").index("products");
    await index.put([{ id: "prd_ghost", version: 1, text: { a: "Ghost", b: "", c: "" }, keywords: {}, numbers: {} }]);
    await addRebuild(hosted, testCall(), "again");
    await Promise.all([
      edge.updateProduct({ product: first!, updateMask: { paths: ["title"] }, title: "Jacket" }, admin()),
      edge.deleteProduct({ product: second! }, admin()),
      find("shirts"),
    ]);
    await settle();
    assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, [first, ...others]);
    assert.deepEqual(await find("jackets"), [first]);
    assert.deepEqual((await find("shirt")).toSorted(), others);
  });
});
