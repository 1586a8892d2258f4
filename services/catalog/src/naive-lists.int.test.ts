import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import { openCatalog, simple } from "./test-catalog.ts";
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

describe("catalog: lists compared with a naive filter", { concurrency: 4 }, () => {
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
              return [{ product: productOf(spec, at, categories) }];
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
});

/** The product of a specification, the nth of several. */
function productOf({ status, vendor, tags, categories: nths, prices }: Spec, at: number, categories: readonly string[]) {
  return {
    title: `Shirt ${at}`,
    status,
    vendor,
    tags: [...tags],
    categories: nths.map((nth) => categories[nth]!),
    options: [{ name: "Nth", values: prices.map((_, nth) => `${nth}`) }],
    variants: prices.map((price, nth) => ({ sku: `s-${at}-${nth}`, options: [`${nth}`], price: moneyTo(price) })),
  };
}

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
