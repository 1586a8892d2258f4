import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { conditionsOf, entriesOf, sortedMax, unpriced } from "./product-filter.ts";
import type { Filter } from "./product-filter.ts";
import { productColumns } from "./product-queries.ts";
import type { ProductRow } from "./product-queries.ts";

/** Where a list goes on: the values of its keys and the id of the last product. */
export interface Position {
  readonly values: readonly number[];
  readonly id: string;
}

/** Some of a list. */
export interface PagePart {
  /** Of a list by price: those that have one, or those that have none. */
  readonly priced: boolean;
  readonly after: Position | undefined;
  readonly count: number;
}

/** `k0`, `k1`: the values of its keys. */
export type PageRow = ProductRow & { readonly id: string } & Readonly<Record<`k${number}`, Date | bigint>>;

/** How many products are looked at in the order of the list: a filter that lets few of them through gives a short page. */
const walkedMax = 2_000;
const and = sql` and `;
const comma = sql`, `;

/** One sort key: what rows are ordered by, and how its value comes back in a row and a cursor. */
interface Key {
  readonly at: Sql;
  readonly descending: boolean;
  /** Not sorted by: it is the same for all. */
  readonly constant?: boolean;
  readonly param: (value: number) => Date | number;
}

/**
 * A branch for each way into the products, and one that reads them in order; only the first that has few is carried out. PostgreSQL plans a statement
 * without knowing its values, so it cannot tell which of them is the one.
 */
export function pageSql(filter: Filter, part: PagePart): Sql {
  const entries = entriesOf(filter);
  if (entries.length === 0) return walkSql(filter, part, []);
  const branches = entries.map(({ by }, nth) => {
    const few = sql.join([sql`cardinality(ids) <= ${sortedMax}::int`, ...many(nth)], and);
    const products = sql`(select distinct unnest(ids) as id from ${entryName(nth)} where ${few}) as entry join products p on p.id = entry.id`;
    return sortSql(filter, part, products, conditionsOf(filter, by));
  });
  branches.push(walkSql(filter, part, many(entries.length)));
  return sql`with ${entriesSql(filter)} select * from (${sql.join(
    branches.map((branch) => sql`(${branch})`),
    sql` union all `,
  )}) as page`;
}

/** The position of the last product that the page's statement has looked at in order, if it was not the last of all. Undefined when it skips none. */
export function walkedToSql(filter: Filter, part: PagePart): Sql | undefined {
  const entries = entriesOf(filter);
  const { status, vendor, order } = filter;
  if (entries.length === 0 && order[0]?.by !== "price" && (status === undefined || vendor === undefined)) return undefined;
  const last = sql`select * from (${walkedSql(filter, part)}) as walked where ${sql.join([sql`true`, ...many(entries.length)], and)}
    offset ${walkedMax - 1} limit 1`;
  return entries.length === 0 ? last : sql`with ${entriesSql(filter)} ${last}`;
}

function entriesSql(filter: Filter): Sql {
  return sql.join(
    entriesOf(filter).map(
      ({ products }, nth) => sql`${entryName(nth)} as materialized (select array(${products} limit ${sortedMax + 1}) as ids)`,
    ),
  );
}

const entryName = (nth: number): Sql => sql.name(`entry${nth}`);

/** That the first so many entries have too many products to be sorted. */
const many = (entries: number): Sql[] =>
  Array.from({ length: entries }, (_, nth) => sql`(select cardinality(ids) from ${entryName(nth)}) > ${sortedMax}::int`);

/** Reads all products of an entry and sorts them. */
function sortSql(filter: Filter, part: PagePart, products: Sql, conditions: readonly Sql[]): Sql {
  const keys = keysOf(filter, part);
  const source = withPrice(filter, part, products);
  const columns = [productColumns, sql`p.id`, ...keys.map(({ at }, nth) => sql`${at} as ${sql.name(`k${nth}`)}`)];
  return sql`select ${sql.join(columns, comma)} from ${source} where ${sql.join([...conditions, ...partConditions(filter, part), ...pastOf(keys, part)], and)}
    order by ${orderOf(keys)} limit ${part.count}`;
}

/** Reads products in the order of the list until the page is full, or enough were looked at: one by one, which "offset 0" ensures. */
function walkSql(filter: Filter, part: PagePart, only: readonly Sql[]): Sql {
  const keys = keysOf(filter, part);
  const named = keys.map((key, nth) => ({ ...key, at: sql`walked.${sql.name(`k${nth}`)}` }));
  const columns = [productColumns, sql`p.id`, ...named.map(({ at }) => at)];
  const unpricedOnly = filter.order[0]?.by === "price" && !part.priced ? [withoutPrice(filter)] : [];
  return sql`select ${sql.join(columns, comma)} from (${walkedSql(filter, part)}) as walked
    cross join lateral (select * from products where id = walked.id offset 0) as p
    where ${sql.join([...only, ...conditionsOf(filter), ...unpricedOnly], and)} order by ${orderOf(named, sql`walked.id`)} limit ${part.count}`;
}

/** The next products of all, as an index has them in the order of the list: no condition is here that it has not. */
function walkedSql(filter: Filter, part: PagePart): Sql {
  const keys = keysOf(filter, part);
  const columns = keys.map(({ at }, nth) => sql`${at} as ${sql.name(`k${nth}`)}`);
  const { currency, price, status, vendor, createdAfter, order } = filter;
  if (part.priced) {
    const conditions = [sql`c.currency = ${currency}`, sql`c.cheapest`, ...pastOf(keys, part, sql`c.product`)];
    // Where a variant is within the range, the cheapest is not above it.
    if (price?.max !== undefined) conditions.push(sql`c.price <= ${price.max}`);
    const source = order.length > 1 ? sql`variants c join products p on p.id = c.product` : sql`variants c`;
    return sql`select c.product as id, ${sql.join(columns, comma)} from ${source} where ${sql.join(conditions, and)}
      order by ${orderOf(keys, sql`c.product`)} limit ${walkedMax}`;
  }
  const conditions = [sql`true`, ...pastOf(keys, part)];
  if (keys.some(({ constant }) => constant !== true)) {
    if (vendor !== undefined) conditions.push(sql`p.vendor = ${vendor}`);
    else if (status !== undefined) conditions.push(sql`p.status = ${status}`);
    if (createdAfter !== undefined) conditions.push(sql`p.created_at > ${createdAfter}`);
  }
  return sql`select p.id, ${sql.join(columns, comma)} from ${withPrice(filter, part, sql`products p`)}
    where ${sql.join(conditions, and)} order by ${orderOf(keys)} limit ${walkedMax}`;
}

function keysOf({ order }: Filter, { priced }: PagePart): Key[] {
  return order.map(({ by, descending }, nth): Key => {
    if (by === "createdAt") return { at: sql`p.created_at`, descending, param: (ms) => new Date(ms) };
    if (nth > 0)
      return {
        at: descending ? sql`coalesce(-c.price, ${unpriced}::bigint)` : sql`coalesce(c.price, ${unpriced}::bigint)`,
        descending: false,
        param: Number,
      };
    return priced
      ? { at: sql`c.price`, descending, param: Number }
      : { at: sql`${unpriced}::bigint`, descending: false, constant: true, param: Number };
  });
}

/** The products `p` with the price `c.price` that they are sorted by, if they are. */
function withPrice({ currency, order }: Filter, { priced }: PagePart, products: Sql): Sql {
  const cheapest = sql`c.product = p.id and c.currency = ${currency} and c.cheapest`;
  if (priced) return sql`${products} join variants c on ${cheapest}`;
  // As a second key it is read product by product: a plain join may be made for all of them first.
  if (order.length > 1 && order[0]!.by !== "price")
    return sql`${products} left join lateral (select c.price from variants c where ${cheapest} limit 1) c on true`;
  return products;
}

function partConditions(filter: Filter, { priced }: PagePart): Sql[] {
  const { price, order } = filter;
  if (priced) return price?.max === undefined ? [] : [sql`c.price <= ${price.max}`];
  return order[0]?.by === "price" ? [withoutPrice(filter)] : [];
}

function withoutPrice({ currency }: Filter): Sql {
  return sql`not exists (select from variants c where c.product = p.id and c.currency = ${currency} and c.cheapest offset 0)`;
}

/** A constant is no key to sort by. */
function orderOf(keys: readonly Key[], id = sql`p.id`): Sql {
  const sorting = keys.flatMap(({ at, descending, constant }) => (constant === true ? [] : [descending ? sql`${at} desc` : at]));
  return sql.join([...sorting, id], comma);
}

/** What comes after the part's position. The first key bounds it alone, so that an index can be entered there. */
function pastOf(keys: readonly Key[], { after }: PagePart, id = sql`p.id`): Sql[] {
  if (after === undefined) return [];
  const sorting = [...keys, { at: id, descending: false, param: String, constant: false }];
  const values = [...after.values.map((value, nth) => keys[nth]!.param(value)), after.id];
  const varying = sorting.flatMap(({ at, descending, constant }, nth) =>
    constant === true ? [] : [{ at, descending, value: values[nth] }],
  );
  return [past(varying)];
}

function past([key, ...keys]: readonly { readonly at: Sql; readonly descending: boolean; readonly value: unknown }[]): Sql {
  const { at, descending, value } = key!;
  const beyond = descending ? sql`${at} < ${value}` : sql`${at} > ${value}`;
  if (keys.length === 0) return beyond;
  return sql`${descending ? sql`${at} <= ${value}` : sql`${at} >= ${value}`} and (${beyond} or ${past(keys)})`;
}
