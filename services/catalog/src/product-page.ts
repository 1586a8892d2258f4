import { createHash } from "node:crypto";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { invalidCursor, readPage } from "@kontor/platform/database/cursor.ts";
import type { Page, PageRequest, SortKind } from "@kontor/platform/database/cursor.ts";
import type { Reads } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { conditionsOf, entriesOf, unpriced } from "./product-filter.ts";
import type { Filter } from "./product-filter.ts";
import { productColumns, productOf } from "./product-queries.ts";
import type { ProductRow } from "./product-queries.ts";

/** One sort key: what rows are ordered by, and how its value comes back in a row and a cursor. */
interface Key {
  readonly at: Sql;
  readonly descending: boolean;
  readonly param: (value: number) => Date | number;
}

type Row = ProductRow & { readonly id: string } & Readonly<Record<`k${number}`, Date | bigint>>;

/**
 * How many products of one part of the filter are all read and sorted; when there are more, products are read in order until the page is full. With each
 * further part it takes longer to fill.
 */
const sortedMax = (parts: number): number => 200 * 2 ** (parts - 1);
const and = sql` and `;
const comma = sql`, `;

/**
 * A page of products from the catalogue's own tables: in one statement, and another where a list by price comes to the products without one.
 * Refuses with INVALID_CURSOR when the cursor is not of this filter.
 */
export async function readProductPage(queries: Reads, filter: Filter, request: PageRequest): Promise<Page<Product>> {
  const seal = sealOf(filter);
  const { items, ...next } = await readPage<Row, readonly SortKind[]>(request, {
    sortedBy: ["text", ...filter.order.map(({ by }) => (by === "price" ? "integer" : "timeMs")), "id"],
    valuesOf: (row) => [seal, ...filter.order.map((_, nth) => Number(row[`k${nth}`])), row.id],
    read: (after, limit) => {
      if (after !== undefined && after[0] !== seal) throw invalidCursor();
      const from = after && { values: after.slice(1, -1).map(Number), id: String(after.at(-1)) };
      return readRows(queries, filter, from, limit);
    },
  });
  return { items: items.map(productOf), ...next };
}

async function readRows(queries: Reads, filter: Filter, from: Position | undefined, limit: number): Promise<Row[]> {
  const read = (priced: boolean, after: Position | undefined, count: number) => queries.rows<Row>(select(filter, { priced, after, count }));
  if (filter.order[0]?.by !== "price") return read(false, from, limit);
  const pricedOver = from?.values[0] === unpriced;
  const priced = pricedOver ? [] : await read(true, from, limit);
  if (priced.length === limit || filter.price !== undefined) return priced;
  return [...priced, ...(await read(false, pricedOver ? from : undefined, limit - priced.length))];
}

interface Position {
  readonly values: readonly number[];
  readonly id: string;
}

interface Part {
  /** Of a list by price: those that have one, or those that have none. */
  readonly priced: boolean;
  readonly after: Position | undefined;
  readonly count: number;
}

/**
 * A branch for each way into the products, and one that reads them in order; only the first that has few is carried out. PostgreSQL plans a statement
 * without knowing its values, so it cannot tell which of them is the one.
 */
function select(filter: Filter, part: Part): Sql {
  const entries = entriesOf(filter);
  if (entries.length === 0) return selectFrom(filter, part, { products: sql`products p`, conditions: conditionsOf(filter) });
  const max = sortedMax(entries.length);
  const counts = entries.map((_, nth) => sql`(select cardinality(ids) from ${entryName(nth)})`);
  const many = (nth: number) => counts.slice(0, nth).map((count) => sql`${count} > ${max}::int`);
  const found = entries.map(
    ({ products }, nth) => sql`${entryName(nth)} as materialized (select array(${products} limit ${max + 1}) as ids)`,
  );
  const branches = entries.map(({ by }, nth) => {
    const few = sql.join([sql`cardinality(ids) <= ${max}::int`, ...many(nth)], and);
    const products = sql`(select distinct unnest(ids) as id from ${entryName(nth)} where ${few}) as entry join products p on p.id = entry.id`;
    return selectFrom(filter, part, { products, conditions: conditionsOf(filter, by) });
  });
  branches.push(selectFrom(filter, part, { products: sql`products p`, conditions: [...many(entries.length), ...conditionsOf(filter)] }));
  return sql`with ${sql.join(found)} select * from (${sql.join(
    branches.map((branch) => sql`(${branch})`),
    sql` union all `,
  )}) as page`;
}

const entryName = (nth: number): Sql => sql.name(`entry${nth}`);

function selectFrom(
  { currency, order, price }: Filter,
  { priced, after, count }: Part,
  { products, conditions: filtering }: { readonly products: Sql; readonly conditions: readonly Sql[] },
): Sql {
  const byPrice = order[0]?.by === "price";
  const cheapest = sql`c.product = p.id and c.currency = ${currency} and c.cheapest`;
  const keys = order.map(({ by, descending }, nth): Key => {
    if (by === "createdAt") return { at: sql`p.created_at`, descending, param: (ms) => new Date(ms) };
    if (nth > 0)
      return {
        at: descending ? sql`coalesce(-c.price, ${unpriced}::bigint)` : sql`coalesce(c.price, ${unpriced}::bigint)`,
        descending: false,
        param: Number,
      };
    return priced ? { at: sql`c.price`, descending, param: Number } : { at: sql`${unpriced}::bigint`, descending: false, param: Number };
  });
  const conditions = [...filtering];
  // Where a variant is within the range, the cheapest is not above it.
  if (priced && price?.max !== undefined) conditions.push(sql`c.price <= ${price.max}`);
  if (byPrice && !priced) conditions.push(sql`not exists (select from variants c where ${cheapest})`);
  if (after !== undefined)
    conditions.push(
      pastOf([...keys, { at: sql`p.id`, descending: false }], [...after.values.map((value, nth) => keys[nth]!.param(value)), after.id]),
    );
  // As a second key it is read product by product: a plain join may be made for all of them first.
  const source = priced
    ? sql`${products} join variants c on ${cheapest}`
    : order.length > 1 && !byPrice
      ? sql`${products} left join lateral (select c.price from variants c where ${cheapest} limit 1) c on true`
      : products;
  const columns = [productColumns, sql`p.id`, ...keys.map(({ at }, nth) => sql`${at} as ${sql.name(`k${nth}`)}`)];
  // A constant is no key to sort by.
  const ordering = keys.flatMap(({ at, descending }, nth) => (nth === 0 && byPrice && !priced ? [] : [descending ? sql`${at} desc` : at]));
  return sql`select ${sql.join(columns, comma)} from ${source} where ${sql.join(conditions, and)}
    order by ${sql.join([...ordering, sql`p.id`], comma)} limit ${count}`;
}

/** What comes after these values of the keys. The first key bounds it alone, so that an index can be entered there. */
function pastOf([key, ...keys]: readonly Pick<Key, "at" | "descending">[], [value, ...values]: readonly unknown[]): Sql {
  const { at, descending } = key!;
  const past = descending ? sql`${at} < ${value}` : sql`${at} > ${value}`;
  if (keys.length === 0) return past;
  return sql`${descending ? sql`${at} <= ${value}` : sql`${at} >= ${value}`} and (${past} or ${pastOf(keys, values)})`;
}

/** Binds a cursor to its list. No signature: a forged one gives another page of what its maker may read anyway. */
function sealOf({ status, category, tag, vendor, price, currency, createdAfter, order }: Filter): string {
  const facts = [status, category, tag, vendor, price && [String(price.min), String(price.max)], currency, createdAfter, order];
  return createHash("sha256").update(JSON.stringify(facts)).digest("base64url").slice(0, 16);
}
