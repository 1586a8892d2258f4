import { createHash } from "node:crypto";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { invalidCursor, readPage } from "@kontor/platform/database/cursor.ts";
import type { Page, PageRequest, SortKind } from "@kontor/platform/database/cursor.ts";
import type { Reads } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { selectBranch } from "./category.ts";
import { productColumns, productOf } from "./product-queries.ts";
import type { ProductRow } from "./product-queries.ts";

export interface Order {
  readonly by: "createdAt" | "price";
  readonly descending: boolean;
}

/** Which products, in which order. What is absent does not matter. */
export interface Filter {
  readonly status?: string | undefined;
  /** Those below it count too. */
  readonly category?: string | undefined;
  readonly tag?: string | undefined;
  readonly vendor?: string | undefined;
  /** Any variant's, in minor units of the currency. */
  readonly price?: { readonly min?: bigint | undefined; readonly max?: bigint | undefined } | undefined;
  /** Needed with a price, and to sort by one. */
  readonly currency: string;
  readonly createdAfter?: Date | undefined;
  /** A price is the product's least in the currency; those without one come last. The id is always the last key. */
  readonly order: readonly Order[];
}

/** One sort key: what rows are ordered by, and how its value comes back in a row and a cursor. */
interface Key {
  readonly at: Sql;
  readonly descending: boolean;
  readonly param: (value: number) => Date | number;
}

type Row = ProductRow & { readonly id: string } & Readonly<Record<`k${number}`, Date | bigint>>;

/** Stands for the price of a product that has none in the currency: after all others. */
const unpriced = Number.MAX_SAFE_INTEGER;
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

function select(filter: Filter, { priced, after, count }: Part): Sql {
  const { currency, order } = filter;
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
  const conditions = conditionsOf(filter);
  if (byPrice && !priced) conditions.push(sql`not exists (select from variants c where ${cheapest})`);
  if (after !== undefined)
    conditions.push(
      pastOf([...keys, { at: sql`p.id`, descending: false }], [...after.values.map((value, nth) => keys[nth]!.param(value)), after.id]),
    );
  // As a second key it is read product by product: a plain join may be made for all of them first.
  const source = priced
    ? sql`variants c join products p on ${cheapest}`
    : order.length > 1 && !byPrice
      ? sql`products p left join lateral (select c.price from variants c where ${cheapest} limit 1) c on true`
      : sql`products p`;
  const columns = [productColumns, sql`p.id`, ...keys.map(({ at }, nth) => sql`${at} as ${sql.name(`k${nth}`)}`)];
  // A constant is no key to sort by.
  const ordering = keys.flatMap(({ at, descending }, nth) => (nth === 0 && byPrice && !priced ? [] : [descending ? sql`${at} desc` : at]));
  return sql`select ${sql.join(columns, comma)} from ${source} where ${sql.join(conditions, and)}
    order by ${sql.join([...ordering, sql`p.id`], comma)} limit ${count}`;
}

function conditionsOf({ status, category, tag, vendor, price, currency, createdAfter }: Filter): Sql[] {
  const conditions = [sql`true`];
  if (status !== undefined) conditions.push(sql`p.status = ${status}`);
  if (category !== undefined)
    conditions.push(
      sql`exists (select from product_categories pc where pc.product = p.id and pc.category = any(array(${selectBranch(category)})))`,
    );
  if (tag !== undefined) conditions.push(sql`p.tags @> array[${tag}]`);
  if (vendor !== undefined) conditions.push(sql`p.vendor = ${vendor}`);
  if (price !== undefined)
    conditions.push(sql`exists (select from variants v where v.product = p.id and v.currency = ${currency}
      and v.price >= ${price.min ?? 0n} and v.price <= ${price.max ?? BigInt(unpriced)})`);
  if (createdAfter !== undefined) conditions.push(sql`p.created_at > ${createdAfter}`);
  return conditions;
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
