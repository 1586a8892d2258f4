import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { toBinary } from "@bufbuild/protobuf";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openCatalog, refusalOf, refusalsAmong, shopper, simple } from "./test-catalog.ts";

const { DRAFT, PUBLISHED, ARCHIVED } = ProductStatus;

describe("catalog: products", { concurrency: 4 }, () => {
  it("CAT-04: a product is made with its options and variants, and read by id and by handle", async () => {
    const { edge, admin, create, get } = await openCatalog();
    const size = { name: "Size", values: ["S", "M"] };
    const colour = { name: "Colour", values: ["Blue", "Red"] };
    const eur = (amount: string) => ({ currency: "EUR", amount });
    const made = await create({
      title: "Ocean Shirt",
      descriptionHtml: "<p>Soft</p>",
      vendor: "Kontor",
      tags: ["summer", "blue"],
      options: [size, colour],
      images: [{ url: "https://img.example/1.png", alt: "A shirt" }],
      variants: [
        {
          sku: "os-s-blue",
          options: ["S", "Blue"],
          price: eur("19.9"),
          compareAtPrice: eur("25"),
          weightGrams: 200,
          barcode: "4006381333931",
        },
        { sku: "os-m-red", options: ["M", "Red"], price: eur("21.50"), image: { url: "https://img.example/2.png" } },
      ],
    });
    assert.match(made.id, /^prd_[0-9a-z]{26}$/);
    assert.deepEqual([made.handle, made.version, made.status], ["ocean-shirt", 1, DRAFT]);
    assert.deepEqual(
      made.variants.map(({ sku, title, price, compareAtPrice, available }) => [
        sku,
        title,
        price?.amount,
        compareAtPrice?.amount,
        available,
      ]),
      [
        ["os-s-blue", "S / Blue", "19.90", "25.00", undefined],
        ["os-m-red", "M / Red", "21.50", undefined, undefined],
      ],
    );
    assert.equal((await refusalOf(get(made.id))).reason, "NOT_FOUND");
    const published = await edge.publishProduct({ product: made.id }, admin());
    assert.deepEqual(await get(made.id), published);
    assert.deepEqual(await get("ocean-shirt"), published);
    assert.equal((await refusalOf(get("prd_nowhere"))).reason, "NOT_FOUND");
    assert.equal((await refusalOf(get("nowhere"))).reason, "NOT_FOUND");
  });

  it("CAT-04: a change touches only the fields that it names; a variant with the same SKU has the same id", async () => {
    const { edge, admin, create } = await openCatalog();
    const eur = { currency: "EUR", amount: "5.00" };
    const made = await create(
      simple("a", {
        title: "Old",
        vendor: "V",
        tags: ["t"],
        options: [{ name: "Size", values: ["S", "M"] }],
        variants: [{ sku: "a", options: ["S"], price: eur }],
      }),
    );
    const patch = (paths: string[], fields: object) => edge.updateProduct({ product: made.id, updateMask: { paths }, ...fields }, admin());
    const renamed = await patch(["title"], { title: "New", vendor: "ignored", tags: ["ignored"] });
    assert.deepEqual([renamed.title, renamed.vendor, renamed.tags, renamed.handle, renamed.version], ["New", "V", ["t"], "old", 2]);
    const emptied = await patch(["vendor", "tags", "description_html"], { descriptionHtml: "<b>x</b>" });
    assert.deepEqual(
      [emptied.title, emptied.vendor, emptied.tags, emptied.descriptionHtml, emptied.version],
      ["New", "", [], "<b>x</b>", 3],
    );
    const grown = await patch(["variants"], {
      variants: [
        { sku: "b", options: ["M"], price: eur },
        { sku: "a", options: ["S"], price: { currency: "EUR", amount: "6" } },
      ],
    });
    assert.equal(grown.variants[1]?.id, made.variants[0]?.id);
    assert.notEqual(grown.variants[0]?.id, made.variants[0]?.id);
    assert.deepEqual(await patch([], { title: "x" }), grown);
    assert.deepEqual(await patch(["title", "version"], { title: "New", version: 4 }), grown);
    for (const [paths, field] of [
      [["status"], "status"],
      [["id"], "id"],
      [["constructor"], "constructor"],
      [["variants"], "variants"],
      [["title"], "title"],
    ] as const) {
      const refusal = await refusalOf(patch([...paths], {}));
      assert.deepEqual([refusal.reason, refusal.fields[0]?.field], ["INVALID_REQUEST", field]);
    }
    assert.deepEqual(await edge.getProduct({ product: made.id }, shopper()), grown);
    assert.equal((await refusalOf(edge.updateProduct({ product: "prd_nowhere" }, admin()))).reason, "NOT_FOUND");
  });

  it("CAT-04: a version that is not the current one is refused with the current one, also of ten at the same time", async () => {
    const { edge, admin, create } = await openCatalog();
    const { id } = await create(simple("a"));
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, at) =>
        edge.updateProduct({ product: id, version: 1, updateMask: { paths: ["vendor"] }, vendor: `V${at}` }, admin()),
      ),
    );
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    const others = await Promise.allSettled([
      edge.updateProduct({ product: id, version: 1, updateMask: { paths: ["vendor"] }, vendor: "x" }, admin()),
      edge.publishProduct({ product: id, version: 1 }, admin()),
      edge.archiveProduct({ product: id, version: 3 }, admin()),
    ]);
    const refusals = refusalsAmong([...outcomes, ...others]);
    assert.equal(refusals.length, 12);
    for (const { reason, code, details } of refusals)
      assert.deepEqual([reason, code, details], ["VERSION_CONFLICT", "aborted", { version: 2 }]);
  });

  it("CAT-04: published, archived and deleted; a second time changes nothing, and what was is in its history", async () => {
    const { edge, admin, create, get, clock, list } = await openCatalog();
    const made = await create(simple("a", { status: DRAFT }));
    const product = made.id;
    clock.advance(1_000);
    const published = await edge.publishProduct({ product, version: 1 }, admin());
    assert.deepEqual(await edge.publishProduct({ product }, admin()), published);
    clock.advance(1_000);
    const archived = await edge.archiveProduct({ product }, admin());
    assert.deepEqual([published.version, published.status, archived.version, archived.status], [2, PUBLISHED, 3, ARCHIVED]);
    assert.equal((await refusalOf(get(product))).reason, "NOT_FOUND");
    await edge.publishProduct({ product }, admin());
    clock.advance(1_000);
    await Promise.all([1, 2, 3].map(() => edge.deleteProduct({ product }, admin())));
    await edge.deleteProduct({ product }, admin());
    assert.equal((await refusalOf(get(product))).reason, "NOT_FOUND");
    assert.equal((await list()).items.length, 0);
    const { items } = await edge.getProductHistory({ product }, admin());
    assert.deepEqual(
      items.map((change) => [change.version, change.type, change.actor, change.product?.version, Number(change.at?.seconds) % 60]),
      [
        [1, "catalog.product.created", "usr_admin", 1, 0],
        [2, "catalog.product.published", "usr_admin", 2, 1],
        [3, "catalog.product.archived", "usr_admin", 3, 2],
        [4, "catalog.product.published", "usr_admin", 4, 2],
        [5, "catalog.product.deleted", "usr_admin", 5, 3],
      ],
    );
    const category = await edge.createCategory({ name: "x" }, admin());
    for (const other of [category.id, "prd_nowhere"])
      assert.equal((await refusalOf(edge.getProductHistory({ product: other }, admin()))).reason, "NOT_FOUND");
    const again = await create(simple("a"));
    assert.notEqual(again.id, product);
  });

  it("CAT-04, S4: shoppers see what is published; drafts and archived ones are as if they were not there", async () => {
    const { edge, admin, create, get, list, settle } = await openCatalog();
    const draft = await create(simple("d", { title: "Shirt draft", status: DRAFT }));
    const shown = await create(simple("p", { title: "Shirt shown" }));
    const old = await create(simple("o", { title: "Shirt old" }));
    await edge.archiveProduct({ product: old.id }, admin());
    await settle();
    const support = testCall({ caller: "gateway", user: { roles: ["support"] } });
    for (const call of [shopper(), testCall({ caller: "gateway", user: {} })]) {
      for (const id of [draft.id, draft.handle, old.id]) {
        const { reason, message } = await refusalOf(edge.getProduct({ product: id }, call));
        assert.deepEqual({ reason, message }, { reason: "NOT_FOUND", message: (await refusalOf(get("prd_nowhere"))).message });
      }
      for (const request of [{}, { q: "shirt" }, { facets: true }, { status: PUBLISHED }])
        assert.deepEqual(
          (await edge.listProducts(request, call)).items.map(({ id }) => id),
          [shown.id],
        );
      assert.equal((await refusalOf(edge.listProducts({ status: DRAFT }, call))).reason, "PERMISSION_DENIED");
    }
    for (const call of [admin(), support]) {
      assert.equal((await edge.getProduct({ product: draft.id }, call)).status, DRAFT);
      assert.equal((await edge.listProducts({}, call)).items.length, 3);
      assert.equal((await edge.listProducts({ q: "shirt" }, call)).items.length, 3);
      assert.deepEqual(
        (await edge.listProducts({ status: ARCHIVED }, call)).items.map(({ id }) => id),
        [old.id],
      );
    }
    assert.equal((await list()).items.length, 1);
  });

  it("CAT-04, S2: only an admin changes products or reads their history, and only services read prices and import", async () => {
    const { edge, create } = await openCatalog();
    const { id: product } = await create(simple("a"));
    for (const [call, reason] of [
      [shopper(), "UNAUTHENTICATED"],
      [testCall({ caller: "gateway", user: {} }), "PERMISSION_DENIED"],
      [testCall({ caller: "gateway", user: { roles: ["seller", "support"] } }), "PERMISSION_DENIED"],
    ] as const) {
      const outcomes = await Promise.allSettled([
        edge.createProduct(simple("b"), call),
        edge.updateProduct({ product }, call),
        edge.deleteProduct({ product }, call),
        edge.publishProduct({ product }, call),
        edge.archiveProduct({ product }, call),
        edge.getProductHistory({ product }, call),
      ]);
      assert.deepEqual(
        refusalsAmong(outcomes).map((refusal) => refusal.reason),
        Array.from({ length: 6 }, () => reason),
      );
    }
    const inside = testCall({ caller: "gateway", user: { roles: ["admin"] } });
    assert.equal((await refusalOf(edge.priceLines({ skus: ["a"] }, inside))).reason, "PERMISSION_DENIED");
    assert.equal((await refusalOf(edge.importProducts({ products: [{ product: simple("c") }] }, inside))).reason, "PERMISSION_DENIED");
  });

  it("CAT-04: a handle and a SKU are one product's, and the refusal names the field, also of ten at the same time", async () => {
    const { create, edge, admin } = await openCatalog();
    const [one] = [await create(simple("a", { title: "One" })), await create(simple("b", { title: "Two" }))];
    const handle = await refusalOf(create(simple("c", { title: "Other", handle: "one" })));
    assert.deepEqual([handle.reason, handle.code, handle.fields[0]?.field], ["HANDLE_TAKEN", "already_exists", "handle"]);
    const price = { currency: "EUR", amount: "1" };
    const options = [{ name: "Size", values: ["S", "M"] }];
    const sku = await refusalOf(
      create({
        title: "Three",
        options,
        variants: [
          { sku: "free", options: ["S"], price },
          { sku: "b", options: ["M"], price },
        ],
      }),
    );
    assert.deepEqual([sku.reason, sku.code, sku.fields.map(({ field }) => field)], ["SKU_TAKEN", "already_exists", ["variants[1].sku"]]);
    const renamed = await refusalOf(edge.updateProduct({ product: one.id, updateMask: { paths: ["handle"] }, handle: "two" }, admin()));
    assert.equal(renamed.reason, "HANDLE_TAKEN");
    for (const [make, reason] of [
      [(at: number) => simple(`h${at}`, { title: "Same title", handle: "same" }), "HANDLE_TAKEN"],
      [(at: number) => simple("same-sku", { title: `Title ${at}` }), "SKU_TAKEN"],
    ] as const) {
      const outcomes = await Promise.allSettled(Array.from({ length: 10 }, (_, at) => create(make(at))));
      const refused = refusalsAmong(outcomes);
      assert.deepEqual([...new Set(refused.map((refusal) => refusal.reason)), refused.length], [reason, 9]);
    }
    await create(simple("free", { title: "Three" }));
  });

  it("CAT-04, S5: variants that do not fit their options, and prices that are none, are refused by field", async () => {
    const { create, hosted } = await openCatalog();
    const eur = { currency: "EUR", amount: "1" };
    const options = [{ name: "Size", values: ["S", "M"] }];
    const cases: [variants: object[], fields: string[]][] = [
      [[], ["variants"]],
      [[{ sku: "a", options: [], price: eur }], ["variants[0].options"]],
      [[{ sku: "a", options: ["XXL"], price: eur }], ["variants[0].options[0]"]],
      [
        [
          { sku: "a", options: ["S"], price: eur },
          { sku: "a", options: ["M"], price: eur },
        ],
        ["variants[1].sku"],
      ],
      [
        [
          { sku: "a", options: ["S"], price: eur },
          { sku: "b", options: ["S"], price: eur },
        ],
        ["variants[1].options"],
      ],
      [
        [{ sku: "a", options: ["S"], price: eur, compareAtPrice: { currency: "USD", amount: "1" } }],
        ["variants[0].compareAtPrice.currency"],
      ],
      [[{ sku: "a", options: ["S"], price: { currency: "EUR", amount: "-1" } }], ["variants[0].price.amount"]],
      [[{ sku: "a", options: ["S"], price: { currency: "EUR", amount: "0.001" } }], ["variants[0].price.amount"]],
      [[{ sku: "a", options: ["S"], price: { currency: "EUR", amount: "1e3" } }], ["variants[0].price.amount"]],
      [[{ sku: "a", options: ["S"], price: { currency: "EUR", amount: "92233720368547758" } }], ["variants[0].price.amount"]],
      [[{ sku: "a", options: ["S"], price: { currency: "EURO", amount: "1" } }], ["variants[0].price.currency"]],
      [[{ sku: "a b", options: ["S"], price: eur }], ["variants[0].sku"]],
      [[{ sku: "a", options: ["S"] }], ["variants[0].price"]],
    ];
    for (const [variants, fields] of cases) {
      const refusal = await refusalOf(create({ title: "Shirt", options, variants }));
      assert.deepEqual([refusal.reason, refusal.fields.map(({ field }) => field)], ["INVALID_REQUEST", fields], JSON.stringify(variants));
    }
    assert.equal((await refusalOf(create(simple("a", { title: " \n" })))).fields[0]?.field, "title");
    assert.equal((await refusalOf(create(simple("a", { images: [{ url: "javascript:alert(1)" }] })))).fields[0]?.field, "images[0].url");
    assert.equal(await hosted.progress(), "0/0/0");
  });

  it("CAT-05: prices are whole minor units through the whole way, whatever the currency's decimals", async () => {
    const { create, get, client, hosted, list } = await openCatalog();
    let nth = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("EUR", "JPY", "KWD", "USD"),
        fc.bigInt({ min: 0n, max: 10n ** 15n - 1n }),
        async (currency, minor) => {
          const sku = `m-${nth++}`;
          const price = moneyTo({ currency, minor });
          const { id } = await create(simple(sku, { variants: [{ sku, price }] }));
          const stored = await hosted.database.one<{ price: bigint }>(sql`select price from variants where sku = ${sku}`);
          assert.equal(stored.price, minor);
          const read = (await get(id)).variants[0]!.price!;
          const priced = (await client.priceLines({ skus: [sku] }, testCall())).variants[0]!.price!;
          for (const money of [read, priced]) assert.deepEqual([money.currency, money.amount], [currency, price.amount]);
          const exactly = (await list({ currency, priceMin: price.amount, priceMax: price.amount, limit: 100 })).items.map(
            (product) => product.id,
          );
          assert.ok(exactly.includes(id));
        },
      ),
      { numRuns: 25 },
    );
  });

  it("CAT-05: carts read what can be bought now, in the order of their request, and at the current price", async () => {
    const { create, client, edge, admin } = await openCatalog();
    const options = [{ name: "Size", values: ["S"] }];
    const shirt = await create(
      simple("a", { title: "Shirt", options, variants: [{ sku: "a", options: ["S"], price: { currency: "EUR", amount: "1.10" } }] }),
    );
    const cup = await create(simple("b", { title: "Cup" }));
    await create(simple("draft", { status: DRAFT }));
    const pricesOf = async (...skus: string[]) =>
      (await client.priceLines({ skus }, testCall())).variants.map(({ sku, product, variant, title, price }) => [
        sku,
        product,
        variant,
        title,
        price?.amount,
      ]);
    assert.deepEqual(await pricesOf("b", "nowhere", "draft", "a"), [
      ["b", cup.id, cup.variants[0]!.id, "Cup", "19.99"],
      ["a", shirt.id, shirt.variants[0]!.id, "Shirt (S)", "1.10"],
    ]);
    await edge.updateProduct(
      { product: cup.id, updateMask: { paths: ["variants"] }, variants: [{ sku: "b2", price: { currency: "EUR", amount: "0.30" } }] },
      admin(),
    );
    assert.deepEqual(
      (await pricesOf("b", "b2")).map(([sku, , , , amount]) => [sku, amount]),
      [["b2", "0.30"]],
    );
    await edge.archiveProduct({ product: cup.id }, admin());
    assert.deepEqual(await pricesOf("b2"), []);
  });

  it("S12, S15: a repeat with the same key gets the same bytes, and names of every object's own properties are harmless SKUs", async () => {
    const { edge, admin, publishStock, settle, get } = await openCatalog();
    const skus = ["__proto__", "constructor", "toString"];
    const request = {
      title: "Odd",
      status: PUBLISHED,
      options: [{ name: "Size", values: skus }],
      variants: skus.map((sku) => ({ sku, options: [sku], price: { currency: "EUR", amount: "1" } })),
    };
    const [one, other] = [await edge.createProduct(request, admin("key-1")), await edge.createProduct(request, admin("key-1"))];
    assert.deepEqual(toBinary(ProductSchema, one), toBinary(ProductSchema, other));
    assert.equal((await refusalOf(edge.createProduct({ ...request, title: "Other" }, admin("key-1")))).reason, "IDEMPOTENCY_KEY_REUSED");
    await publishStock({ sku: "constructor", available: 3, version: 1 });
    await settle();
    assert.deepEqual(
      (await get(one.id)).variants.map(({ available }) => available),
      [undefined, 3, undefined],
    );
  });
});
