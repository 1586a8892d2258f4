import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { openCatalog, refusalOf, shopper, simple } from "./test-catalog.ts";
import type { ListInit } from "./test-catalog.ts";

const { DRAFT, PUBLISHED } = ProductStatus;

describe("catalog: lists", { concurrency: 4 }, () => {
  it("CAT-04: pages neither repeat nor miss what was there while others come and go", async () => {
    const { create, edge, admin, clock, list } = await openCatalog();
    const ids: string[] = [];
    for (let at = 0; at < 12; at++) {
      ids.unshift((await create(simple(`s-${at}`))).id);
      clock.advance(1_000);
    }
    const first = await list({ limit: 4 });
    await create(simple("newer"));
    await edge.deleteProduct({ product: first.items.at(-1)!.id }, admin());
    await edge.deleteProduct({ product: ids[6]! }, admin());
    const second = await list({ limit: 4, cursor: first.nextCursor! });
    const third = await list({ limit: 100, cursor: second.nextCursor! });
    assert.deepEqual(
      [...first.items, ...second.items, ...third.items].map(({ id }) => id),
      ids.filter((id) => id !== ids[6]),
    );
    assert.equal(third.nextCursor, undefined);
    assert.equal((await list()).items.length, 11);
  });

  it("CAT-04: a list holds a change as soon as it is made", async () => {
    const { create, edge, admin, list } = await openCatalog();
    const { id: product } = await create(simple("a"));
    const found = async (request: ListInit) => (await list(request)).items.length;
    const lists: [ListInit, before: number, after: number][] = [
      [{}, 1, 1],
      [{ vendor: "V" }, 0, 1],
      [{ tag: "t" }, 0, 1],
      [{ currency: "EUR", priceMax: "5" }, 0, 1],
      [{ currency: "USD", sort: "price", priceMin: "0" }, 0, 0],
    ];
    for (const [request, before] of lists) assert.equal(await found(request), before);
    await edge.updateProduct(
      {
        product,
        updateMask: { paths: ["vendor", "tags", "variants"] },
        vendor: "V",
        tags: ["t"],
        variants: [{ sku: "a", price: { currency: "EUR", amount: "5" } }],
      },
      admin(),
    );
    for (const [request, , after] of lists) assert.equal(await found(request), after);
    await edge.archiveProduct({ product }, admin());
    assert.equal(await found({}), 0);
    await edge.publishProduct({ product }, admin());
    assert.equal(await found({}), 1);
    await edge.deleteProduct({ product }, admin());
    assert.equal(await found({}), 0);
  });

  it("CAT-06, S15: an invalid request is refused by field, and no text breaks a query", async () => {
    const { list, create, settle } = await openCatalog();
    await create(simple("a", { title: "Shirt" }));
    await settle();
    const refused: [ListInit, field: string][] = [
      [{ sort: "name" }, "sort"],
      [{ sort: "price,", currency: "EUR" }, "sort"],
      [{ sort: "relevance" }, "q"],
      [{ sort: "-relevance", q: "shirt" }, "sort"],
      [{ sort: "price; drop table products" }, "sort"],
      [{ sort: "price" }, "currency"],
      [{ priceMin: "1" }, "currency"],
      [{ priceMin: "1e3", currency: "EUR" }, "priceMin"],
      [{ limit: 101 }, "limit"],
      [{ currency: "EURO", sort: "price" }, "currency"],
      [{ tag: "nul\0" }, "tag"],
    ];
    for (const [request, field] of refused) {
      const refusal = await refusalOf(list(request));
      assert.deepEqual([refusal.reason, refusal.fields[0]?.field], ["INVALID_REQUEST", field], JSON.stringify(request));
    }
    for (const text of ["'; drop table products; --", "{x", '"x"', "\\", "a & | ! <-> b:*", "%_", "$1", "(((", "\u202e", "x".repeat(200)])
      for (const request of [{ q: text }, { tag: text }, { vendor: text }, { category: text.slice(0, 40) }])
        assert.equal((await list(request)).items.length, 0, text);
    for (const q of ["", "  ", "\t\n"]) assert.equal((await list({ q })).items.length, 1);
    assert.equal((await list({ q: "shirt", sort: "relevance,-createdAt" })).items.length, 1);
    assert.equal((await list({ currency: "EUR", priceMin: "2", priceMax: "1" })).items.length, 0);
    // Any decimal bounds a range, whether or not it is an amount of the currency.
    for (const priceMin of ["9".repeat(20), "19.991"]) assert.equal((await list({ currency: "EUR", priceMin })).items.length, 0, priceMin);
    for (const priceMin of ["-1", "0.000", "19.9899"]) assert.equal((await list({ currency: "EUR", priceMin })).items.length, 1, priceMin);
    assert.equal((await list({ currency: "EUR", priceMax: "19.989" })).items.length, 0);
  });

  it("CAT-06: a cursor is taken back by its own list only, and forged ones are refused", async () => {
    const { list, create } = await openCatalog();
    for (const sku of ["a", "b", "c"]) await create(simple(sku));
    const { nextCursor: cursor } = await list({ limit: 1, sort: "price", currency: "EUR" });
    assert.equal((await list({ limit: 2, sort: "price", currency: "EUR", cursor: cursor!, facets: true })).items.length, 2);
    for (const request of [
      {},
      { sort: "-price", currency: "EUR" },
      { sort: "price", currency: "USD" },
      { sort: "price", currency: "EUR", tag: "x" },
      { sort: "price", currency: "EUR", q: "product" },
    ])
      assert.equal((await refusalOf(list({ ...request, cursor: cursor! }))).reason, "INVALID_CURSOR", JSON.stringify(request));
    const [seal] = JSON.parse(Buffer.from(cursor!, "base64url").toString()) as [string];
    for (const forged of [
      [seal, 1],
      [seal, "1", "prd_1"],
      [seal, 1, 2],
      [seal, 0.5, "prd_1"],
      [seal, 1e300, "prd_1"],
      [seal, 1, "\0"],
      ["", 1, "prd_1"],
      {},
      "x",
    ])
      assert.equal(
        (await refusalOf(list({ sort: "price", currency: "EUR", cursor: Buffer.from(JSON.stringify(forged)).toString("base64url") })))
          .reason,
        "INVALID_CURSOR",
        JSON.stringify(forged),
      );
    const newest = await list({ limit: 1 });
    const [own] = JSON.parse(Buffer.from(newest.nextCursor!, "base64url").toString()) as [string];
    const far = Buffer.from(JSON.stringify([own, 9e15, "prd_1"])).toString("base64url");
    assert.equal((await refusalOf(list({ cursor: far }))).reason, "INVALID_CURSOR");
  });

  it("CAT-06: facets count over all that matches, beside any page", async () => {
    const { edge, admin, importProducts, settle, list } = await openCatalog();
    const shirts = await edge.createCategory({ name: "Shirts" }, admin());
    await importProducts(
      Array.from({ length: 9 }, (_, at) => ({
        product: simple(`s-${at}`, {
          vendor: at < 6 ? "Acme" : "Bolt",
          tags: at % 2 === 0 ? ["even"] : ["odd", "all"],
          categories: at < 4 ? [shirts.id] : [],
          status: at === 8 ? DRAFT : PUBLISHED,
        }),
      })),
    );
    await settle();
    const { items, facets, nextCursor } = await edge.listProducts({ limit: 2, facets: true }, shopper());
    assert.equal(items.length, 2);
    const counts = (name: string) => facets[name]?.values.map(({ value, count }) => [value, count]);
    assert.deepEqual(counts("vendor"), [
      ["Acme", 6],
      ["Bolt", 2],
    ]);
    assert.deepEqual(counts("tag"), [
      ["all", 4],
      ["even", 4],
      ["odd", 4],
    ]);
    assert.deepEqual(counts("category"), [[shirts.id, 4]]);
    assert.equal((await list({ limit: 100, cursor: nextCursor! })).items.length, 6);
    const acme = await list({ vendor: "Acme", tag: "even", facets: true });
    assert.deepEqual(
      acme.facets["vendor"]?.values.map(({ value, count }) => [value, count]),
      [["Acme", 3]],
    );
    assert.equal((await list({ category: "cat_nowhere", facets: true })).items.length, 0);
  });
});
