import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { selectBranch } from "./category.ts";

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

export interface Order {
  readonly by: "createdAt" | "price";
  readonly descending: boolean;
}

/** A part of a filter that indexes find products by; `columns` is all that is in a product's own row. */
interface Entry {
  readonly by: "category" | "columns" | "price";
  /** The ids of the products that it lets through, some of them repeatedly. */
  readonly products: Sql;
}

/** Stands for the price of a product that has none in the currency: after all others. */
export const unpriced = Number.MAX_SAFE_INTEGER;

/** How many products of one part of the filter are all read and sorted; when there are more, products are read in the order of the list. */
export const sortedMax = 1_000;
const and = sql` and `;

/**
 * The ways into a filter's products other than reading them in the order of the list. Each in the order of its index: without one, a scan of the whole
 * table is expected to meet as many soon, and goes on to the end where there are few.
 */
export function entriesOf(filter: Filter): Entry[] {
  const { category, tag, vendor, price, currency, order } = filter;
  const entries: Entry[] = [];
  if (category !== undefined)
    entries.push({
      by: "category",
      products: sql`select product from unnest(array(${selectBranch(category)})) as branch (id) cross join lateral (
        select product from product_categories where category = branch.id order by product limit ${sortedMax + 1}) as found`,
    });
  // The newest products of a vendor are in the order of an index.
  if (tag !== undefined || (vendor !== undefined && order[0]?.by === "price")) {
    const conditions = columnConditions(filter);
    if (tag !== undefined) conditions.push(sql`p.tags @> array[${tag}]`);
    if (vendor !== undefined) conditions.push(sql`p.vendor = ${vendor}`);
    const inOrder = tag === undefined ? sql`order by p.created_at desc, p.id` : sql``;
    entries.push({ by: "columns", products: sql`select p.id from products p where ${sql.join(conditions, and)} ${inOrder}` });
  }
  if (price !== undefined)
    entries.push({
      by: "price",
      products: sql`select product from variants
        where currency = ${currency} and price >= ${price.min ?? 0n} and price <= ${price.max ?? BigInt(unpriced)} order by price`,
    });
  return entries;
}

/**
 * What a product `p` must fulfil, without that by which it was found. Each is checked product by product: "offset 0" makes no join of it, and "is true"
 * keeps indexes out that find too many.
 */
export function conditionsOf(filter: Filter, found?: Entry["by"]): Sql[] {
  const { category, tag, vendor, price, currency, order } = filter;
  const conditions = [sql`true`];
  if (found !== "columns") {
    conditions.push(...columnConditions(filter));
    if (tag !== undefined) conditions.push(sql`(p.tags @> array[${tag}]) is true`);
    if (vendor !== undefined) conditions.push(order[0]?.by === "price" ? sql`(p.vendor = ${vendor}) is true` : sql`p.vendor = ${vendor}`);
  }
  if (category !== undefined && found !== "category")
    conditions.push(
      sql`exists (select from product_categories pc where pc.product = p.id and pc.category = any(array(${selectBranch(category)})) offset 0)`,
    );
  // The sum keeps the index by price out of it, in which one product's variants are found only by reading the whole range.
  if (price !== undefined && found !== "price")
    conditions.push(sql`exists (select from variants v where v.product = p.id and v.currency = ${currency}
      and v.price + 0 >= ${price.min ?? 0n} and v.price + 0 <= ${price.max ?? BigInt(unpriced)} offset 0)`);
  return conditions;
}

function columnConditions({ status, createdAfter }: Filter): Sql[] {
  const conditions = [sql`true`];
  if (status !== undefined) conditions.push(sql`p.status = ${status}`);
  if (createdAfter !== undefined) conditions.push(sql`p.created_at > ${createdAfter}`);
  return conditions;
}
