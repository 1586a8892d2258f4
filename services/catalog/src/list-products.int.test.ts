import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import { openCatalog, refusalOf, shopper, simple } from "./test-catalog.ts";
import type { ListInit } from "./test-catalog.ts";

const { DRAFT, PUBLISHED, ARCHIVED } = ProductStatus;

/** What a random product is made of: categories and times are named by their places in lists. */
interface Spec {
  readonly status: ProductStatus;
  readonly vendor: string;
  readonly tags: readonly string[];
  readonly categories: readonly number[];
  readonly prices: readonly { readonly currency: string; readonly minor: bigint }[];
  readonly minute: number;
}

const minutes = 4;
const vendorOf = fc.constantFrom("", "Acme", "acme", "O'Neil & \\Söhne");
const tagOf = fc.constantFrom("blue", "Blue", "x:y=z", "50% off");
const currencyOf = fc.constantFrom("EUR", "USD");
const minorOf = fc.bigInt({ min: 0n, max: 12n });
const specOf: fc.Arbitrary<Spec> = fc.record({
  status: fc.constantFrom(PUBLISHED, PUBLISHED, DRAFT, ARCHIVED),
  vendor: vendorOf,
  tags: fc.uniqueArray(tagOf, { maxLength: 3 }),
  categories: fc.uniqueArray(fc.nat(4), { maxLength: 2 }),
  prices: fc.array(fc.record({ currency: currencyOf, minor: minorOf }), { minLength: 1, maxLength: 3 }),
  minute: fc.nat(minutes - 1),
});

/** A random request of a list; categories and times as above. */
const queryOf = fc.record(
  {
    status: fc.constantFrom(PUBLISHED, DRAFT, ARCHIVED),
    vendor: vendorOf,
    tag: tagOf,
    category: fc.nat(5),
    priceMin: minorOf,
    priceMax: minorOf,
    createdAfter: fc.nat(minutes - 1),
    sort: fc.constantFrom(
      "price",
      "-price",
      "createdAt",
      "-createdAt",
      "price,-createdAt",
      "-price,createdAt",
      "createdAt,price",
      "-createdAt,-price,createdAt",
    ),
  },
  { requiredKeys: [] },
);

/** The children of categories 0 to 4: 0 holds 1, 1 holds 2; 5 is nowhere. */
const below: readonly (readonly number[])[] = [[0, 1, 2], [1, 2], [2], [3], [4], []];

describe("catalog: lists", { concurrency: 4 }, () => {
  it("CAT-06: filters and orders combine as a naive filter would, page by page, with and without words", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(specOf, { minLength: 1, maxLength: 40 }),
        fc.array(fc.tuple(queryOf, currencyOf), { minLength: 25, maxLength: 25 }),
        async (specs, queries) => {
          const { edge, admin, importProducts, listAll, clock, settle } = await openCatalog();
          const start = clock.now();
          const categories: string[] = [];
          for (const [at, parent] of [undefined, 0, 1, undefined, undefined].entries())
            categories.push(
              (await edge.createCategory({ name: `c${at}`, ...(parent !== undefined && { parent: categories[parent]! }) }, admin())).id,
            );
          for (let minute = 0; minute < minutes; minute++) {
            const products = specs.flatMap((spec, at) => {
              if (spec.minute !== minute) return [];
              const options = [{ name: "Nth", values: spec.prices.map((_, nth) => `${nth}`) }];
              const variants = spec.prices.map((price, nth) => ({ sku: `s-${at}-${nth}`, options: [`${nth}`], price: moneyTo(price) }));
              const { status, vendor } = spec;
              return [
                {
                  product: {
                    title: `Shirt ${at}`,
                    status,
                    vendor,
                    tags: [...spec.tags],
                    categories: spec.categories.map((one) => categories[one]!),
                    options,
                    variants,
                  },
                },
              ];
            });
            if (products.length > 0) await importProducts(products);
            clock.advance(60_000);
          }
          await settle();
          const all = (await listAll({})).map((product) => product);
          assert.equal(all.length, specs.length);
          for (const [{ category, createdAfter, priceMin, priceMax, ...query }, currency] of queries) {
            const request: ListInit = {
              ...query,
              currency,
              ...(category !== undefined && { category: categories[category] ?? "cat_nowhere" }),
              ...(createdAfter !== undefined && { createdAfter: timestampFromDate(new Date(start.getTime() + createdAfter * 60_000)) }),
              ...(priceMin !== undefined && { priceMin: moneyTo({ currency, minor: priceMin }).amount }),
              ...(priceMax !== undefined && { priceMax: moneyTo({ currency, minor: priceMax }).amount }),
            };
            const branch = category === undefined ? undefined : below[category]!.map((one) => categories[one]!);
            const expected = all
              .filter((product) => matches(product, request, branch))
              .toSorted((one, other) => compare(one, other, query.sort ?? "-createdAt", currency));
            const titles = expected.map(({ title }) => title);
            assert.deepEqual(
              (await listAll(request)).map(({ title }) => title),
              titles,
              JSON.stringify(query),
            );
            if (query.sort !== undefined)
              assert.deepEqual(
                (await listAll({ ...request, q: "shirts" })).map(({ title }) => title),
                titles,
                `words ${JSON.stringify(query)}`,
              );
          }
        },
      ),
      { numRuns: 4 },
    );
  });

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

  it("CAT-06: filters that hundreds of products pass, and those that few of them pass, give what a naive filter would", async () => {
    const { edge, admin, importProducts } = await openCatalog();
    const shirts = await edge.createCategory({ name: "Shirts" }, admin());
    const specs = Array.from({ length: 450 }, (_, at) => ({
      product: simple(`s-${at}`, {
        vendor: at % 9 === 0 ? "Bolt" : "Acme",
        tags: [...(at % 20 === 0 ? [] : ["many"]), ...(at % 150 === 7 ? ["few"] : [])],
        categories: at % 10 === 0 ? [] : [shirts.id],
        variants: [{ sku: `s-${at}`, price: { currency: at % 30 === 0 ? "USD" : "EUR", amount: `${(at * 7) % 60}.00` } }],
      }),
    }));
    for (let at = 0; at < specs.length; at += 150) await importProducts(specs.slice(at, at + 150));
    const read = async (request: ListInit): Promise<Product[]> => {
      const items: Product[] = [];
      for (let cursor: string | undefined = ""; cursor !== undefined;) {
        const page: ListProductsResponse = await edge.listProducts({ ...request, cursor, limit: 90 }, admin());
        items.push(...page.items);
        cursor = page.nextCursor;
      }
      return items;
    };
    const all = await read({});
    assert.equal(all.length, specs.length);
    const filters: ListInit[] = [
      { tag: "many" },
      { tag: "few" },
      { vendor: "Acme" },
      { vendor: "Bolt" },
      { category: shirts.id },
      { category: shirts.id, tag: "many" },
      { category: shirts.id, tag: "few" },
      { priceMin: "1" },
      { priceMin: "20", priceMax: "20" },
      { tag: "many", vendor: "Acme", priceMin: "1", priceMax: "58" },
      { category: shirts.id, priceMin: "20", priceMax: "21" },
    ];
    for (const filter of filters)
      for (const sort of ["-createdAt", "price", "-price", "createdAt,-price"]) {
        const request = { ...filter, currency: "EUR", sort };
        const expected = all
          .filter((product) => matches(product, request, filter.category === undefined ? undefined : [shirts.id]))
          .toSorted((one, other) => compare(one, other, sort, "EUR"));
        assert(expected.length > 0);
        assert.deepEqual(
          (await read(request)).map(({ id }) => id),
          expected.map(({ id }) => id),
          JSON.stringify(request),
        );
      }
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

function matches(product: Product, request: ListInit, branch: readonly string[] | undefined): boolean {
  const { currency = "EUR", priceMin = "", priceMax = "" } = request;
  const within = ({ price }: Product["variants"][number]) => {
    const { currency: own, minor } = moneyFrom(price!);
    const bound = (amount: string) => moneyFrom({ currency, amount }).minor;
    return own === currency && (priceMin === "" || minor >= bound(priceMin)) && (priceMax === "" || minor <= bound(priceMax));
  };
  return (
    (!request.status || product.status === request.status) &&
    (!request.vendor || product.vendor === request.vendor) &&
    (!request.tag || product.tags.includes(request.tag)) &&
    (branch === undefined || product.categories.some((category) => branch.includes(category))) &&
    (!request.createdAfter || timestampDate(product.createdAt!).getTime() > Number(request.createdAfter.seconds) * 1000) &&
    ((priceMin === "" && priceMax === "") || product.variants.some(within))
  );
}

function compare(one: Product, other: Product, sort: string, currency: string): number {
  for (const key of sort.split(",")) {
    const sign = key.startsWith("-") ? -1 : 1;
    const [left, right] = [one, other].map((product) =>
      key.endsWith("price") ? least(product, currency) : timestampDate(product.createdAt!).getTime(),
    );
    if (left === right) continue;
    if (left === undefined) return 1;
    if (right === undefined) return -1;
    return left < right ? -sign : sign;
  }
  return one.id < other.id ? -1 : 1;
}

function least(product: Product, currency: string): number | undefined {
  const prices = product.variants.flatMap(({ price }) => (price!.currency === currency ? [Number(moneyFrom(price!).minor)] : []));
  return prices.length === 0 ? undefined : Math.min(...prices);
}
