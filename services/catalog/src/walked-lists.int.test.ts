import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { openCatalog } from "./test-catalog.ts";
import type { ListInit } from "./test-catalog.ts";

const count = 6_000;

/** Of the products every second one has the tag; the oldest third are cheap, and the tag of three of these is "rare" too. */
const idOf = (n: number): string => `prd_${String(n).padStart(5, "0")}`;
const isCheap = (n: number): boolean => n < count / 3;
const isRare = (n: number): boolean => n === 3 || n === 1_500 || n === 1_999;

describe("CAT-06 DAT-16: lists of filters that let few of many products through", () => {
  let shop: Awaited<ReturnType<typeof openCatalog>>;
  before(async () => {
    shop = await openCatalog();
    const numbers = Array.from({ length: count }, (_, n) => n);
    const at = numbers.map((n) => new Date(Date.UTC(2026, 0, 1) + n * 60_000));
    const { database } = shop.hosted;
    await database.run(sql`insert into products (id, version, status, handle, vendor, tags, state, created_at, updated_at)
      select id, 1, 'PUBLISHED', id, vendor, string_to_array(tags, ','), state, at, at
      from unnest(${numbers.map(idOf)}::text[], ${numbers.map((n) => (isRare(n) ? "Few" : "Many"))}::text[],
        ${numbers.map((n) => (n % 2 === 0 ? "even" : "odd"))}::text[],
        ${numbers.map((n) => toBinary(ProductSchema, create(ProductSchema, { id: idOf(n) })))}::bytea[], ${at}::timestamptz[]) as new (id, vendor, tags, state, at)`);
    await database.run(sql`insert into variants (sku, id, product, title, currency, price, cheapest)
      select id, id, id, '', 'EUR', price, true
      from unnest(${numbers.map(idOf)}::text[], ${numbers.map((n) => (isCheap(n) ? 100 + n : 100_000 - n))}::bigint[]) as new (id, price)`);
    await database.run(sql`analyze`);
  });

  /** The ids of all pages, and how many pages there were. */
  async function listed(request: ListInit): Promise<{ ids: string[]; pages: number }> {
    const ids: string[] = [];
    for (let [cursor, pages]: [string, number] = ["", 1]; ; pages++) {
      const page = await shop.list({ limit: 100, currency: "EUR", ...request, cursor });
      ids.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === undefined) return { ids, pages };
      cursor = page.nextCursor;
    }
  }

  const all = Array.from({ length: count }, (_, n) => n);
  const cheapAndEven = all.filter((n) => isCheap(n) && n % 2 === 0);

  it("come in pages that may be short, newest first, each product once", async () => {
    const filter = { tag: "even", priceMax: "25.00" };
    assert.deepEqual((await shop.list({ ...filter, currency: "EUR", limit: 100 })).items, []);
    const { ids, pages } = await listed(filter);
    assert.deepEqual(ids, cheapAndEven.toReversed().map(idOf));
    assert.ok(pages < 20, `${pages} pages`);
  });

  it("by price, in both directions and with another key", async () => {
    const dear = all.filter((n) => !isCheap(n));
    assert.deepEqual((await listed({ priceMin: "500.00", sort: "price" })).ids, dear.toReversed().map(idOf));
    const filter = { tag: "even", priceMin: "0.01", sort: "-price" };
    const even = [...dear.filter((n) => n % 2 === 0), ...cheapAndEven.toReversed()];
    assert.deepEqual((await listed(filter)).ids, even.map(idOf));
    assert.deepEqual((await listed({ ...filter, sort: "-price,createdAt" })).ids, even.map(idOf));
    assert.deepEqual((await listed({ ...filter, sort: "createdAt,price" })).ids, even.toSorted((a, b) => a - b).map(idOf));
  });

  it("of a vendor, and of a currency that no product has a price in", async () => {
    assert.deepEqual((await listed({ vendor: "Few", sort: "price" })).ids, [3, 1_500, 1_999].map(idOf));
    assert.deepEqual((await listed({ currency: "USD", sort: "price" })).ids, all.map(idOf));
    assert.deepEqual((await listed({ currency: "USD", sort: "price", tag: "odd" })).ids, all.filter((n) => n % 2 === 1).map(idOf));
  });
});
