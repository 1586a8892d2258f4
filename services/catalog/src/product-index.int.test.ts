import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create as message } from "@bufbuild/protobuf";
import { IndexProductsSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { resetSubscription } from "@kontor/platform/events/subscriptions/reset-subscription.ts";
import { createPostgresSearch } from "@kontor/platform/search/postgres.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { indexQueueOf } from "./product-index.ts";
import { openCatalog, simple } from "./test-catalog.ts";

const ids = (response: { readonly items: readonly { readonly id: string }[] }) => response.items.map(({ id }) => id);

describe("catalog: search", { concurrency: 4 }, () => {
  it("CAT-07: a typing error, another inflection, a begun word and words out of order find a product, the best match first", async () => {
    const { create, list, settle } = await openCatalog();
    const shirt = await create(simple("os-1", { title: "Ocean Blue Shirt", vendor: "Acme" }));
    const cup = await create(
      simple("cup-9", { title: "Cup", descriptionHtml: "<p>A cup with a <b>shirt</b> on it</p>", tags: ["kitchen"] }),
    );
    await settle();
    for (const q of ["ocean shirts", "oceam shrit", "blue shi", "SHIRT ocean", "os-1", "acme"])
      assert.deepEqual(ids(await list({ q })), [shirt.id], q);
    assert.deepEqual(ids(await list({ q: "shirt" })), [shirt.id, cup.id]);
    assert.deepEqual(ids(await list({ q: "kitchens" })), [cup.id]);
    assert.deepEqual(ids(await list({ q: "p" })), []);
    assert.deepEqual(ids(await list({ q: "shirt", vendor: "Acme" })), [shirt.id]);
  });

  it("CAT-07: what was changed, archived or deleted is found as it is now", async () => {
    const { create, edge, admin, list, settle } = await openCatalog();
    const { id: product } = await create(simple("a", { title: "Shirt" }));
    await settle();
    await edge.updateProduct({ product, updateMask: { paths: ["title"] }, title: "Jacket" }, admin());
    await settle();
    assert.deepEqual([ids(await list({ q: "shirt" })), ids(await list({ q: "jackets" }))], [[], [product]]);
    await edge.deleteProduct({ product }, admin());
    assert.deepEqual(ids(await list({ q: "jacket" })), []);
    await settle();
    assert.deepEqual((await list({ facets: true })).facets["vendor"]?.values, []);
    assert.deepEqual(ids(await list({ q: "jacket" })), []);
  });

  it("CAT-08, S4: shoppers are not shown what was archived, also while the index does not know it yet", async () => {
    const { create, edge, admin, list, settle, hosted } = await openCatalog();
    const { id: product } = await create(simple("a", { title: "Shirt" }));
    await settle();
    await hosted.tasks.stop();
    await edge.archiveProduct({ product }, admin());
    assert.deepEqual(ids(await list({ q: "shirt" })), []);
    assert.deepEqual(ids(await edge.listProducts({ q: "shirt", status: ProductStatus.PUBLISHED }, admin())), []);
  });

  it("CAT-07: one that is deleted while it is being put into the index does not stay there", async () => {
    const { create, edge, admin, settle, hosted, clock } = await openCatalog();
    const { id } = await create(simple("a", { title: "Shirt" }));
    await settle();
    const index = createPostgresSearch(hosted).index("products");
    const slow = indexQueueOf({
      database: hosted.database,
      clock,
      index: {
        ...index,
        put: async (documents) => {
          await edge.deleteProduct({ product: id }, admin());
          await settle();
          await index.put(documents);
        },
      },
      indexed: () => undefined,
    });
    await slow.run(
      { id: "tsk_1", queue: slow.name, key: "k", attempt: 1, dueAt: new Date(), payload: message(IndexProductsSchema, { products: [id] }) },
      testCall(),
    );
    assert.deepEqual((await index.query({ sort: [], limit: 10 })).ids, []);
  });

  it("CAT-07, CON-03: the index is rebuilt from the events, also on the same day", async () => {
    const { create, settle, hosted } = await openCatalog();
    const { database } = hosted;
    for (const sku of ["a", "b", "c"]) {
      await create(simple(sku, { title: `Shirt ${sku}` }));
      await settle();
    }
    const index = createPostgresSearch(hosted).index("products");
    const found = async () => (await index.query({ text: "shirt", sort: [], limit: 10 })).ids.length;
    const applied = sql`select applied from subscriptions where name = 'catalog.index'`;
    for (let round = 0; round < 2; round++) {
      await index.rebuild(async () => undefined);
      assert.equal(await found(), 0);
      await resetSubscription(database, "catalog.index", async () => undefined);
      while ((await database.one<{ applied: bigint }>(applied)).applied < 3n) await settle();
      await settle();
      assert.equal(await found(), 3);
    }
  });
});
