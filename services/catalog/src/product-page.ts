import { createHash } from "node:crypto";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { invalidCursor, readPage } from "@kontor/platform/database/cursor.ts";
import type { Page, PageRequest, SortKind, Walked } from "@kontor/platform/database/cursor.ts";
import type { Reads } from "@kontor/platform/database/database.ts";
import { unpriced } from "./product-filter.ts";
import type { Filter } from "./product-filter.ts";
import { productOf } from "./product-queries.ts";
import { pageSql, walkedToSql } from "./product-page-sql.ts";
import type { PageRow, Position } from "./product-page-sql.ts";

type Kinds = readonly SortKind[];

/** Some rows of a list, and how far it was walked when it was not walked to its end. */
interface Part {
  readonly rows: readonly PageRow[];
  readonly to: Position | undefined;
}

/**
 * A page of products from the catalogue's own tables: in one statement, another where a list by price comes to the products without one, and another
 * where fewer are found than asked for. Looks at `walkedMax` products at most, so that a page may be short, and have a cursor nevertheless. Refuses with
 * INVALID_CURSOR when the cursor is not of this filter.
 */
export async function readProductPage(queries: Reads, filter: Filter, request: PageRequest): Promise<Page<Product>> {
  const seal = sealOf(filter);
  const { items, ...next } = await readPage<PageRow, Kinds>(request, {
    sortedBy: ["text", ...filter.order.map(({ by }) => (by === "price" ? "integer" : "timeMs")), "id"],
    valuesOf: (row) => valuesOf(seal, filter, row),
    read: async (after, limit): Promise<Walked<PageRow, Kinds>> => {
      if (after !== undefined && after[0] !== seal) throw invalidCursor();
      const from = after && { values: after.slice(1, -1).map(Number), id: String(after.at(-1)) };
      const { rows, to } = await readRows(queries, filter, from, limit);
      return { items: [...rows], to: to && [seal, ...to.values, to.id] };
    },
  });
  return { items: items.map(productOf), ...next };
}

async function readRows(queries: Reads, filter: Filter, from: Position | undefined, limit: number): Promise<Part> {
  if (filter.order[0]?.by !== "price") return readPart(queries, filter, { priced: false, after: from, count: limit });
  const pricedOver = from?.values[0] === unpriced;
  const nothing: Part = { rows: [], to: undefined };
  const priced = pricedOver ? nothing : await readPart(queries, filter, { priced: true, after: from, count: limit });
  if (priced.rows.length === limit || priced.to !== undefined || filter.price !== undefined) return priced;
  const after = pricedOver ? from : undefined;
  const rest = await readPart(queries, filter, { priced: false, after, count: limit - priced.rows.length });
  return { rows: [...priced.rows, ...rest.rows], to: rest.to };
}

async function readPart(queries: Reads, filter: Filter, part: Parameters<typeof pageSql>[1]): Promise<Part> {
  const rows = await queries.rows<PageRow>(pageSql(filter, part));
  const walked = rows.length < part.count ? walkedToSql(filter, part) : undefined;
  const end = walked && (await queries.maybe<PageRow>(walked));
  return { rows, to: end && { values: keysOf(filter, end), id: end.id } };
}

function valuesOf(seal: string, filter: Filter, row: PageRow): (string | number)[] {
  return [seal, ...keysOf(filter, row), row.id];
}

function keysOf({ order }: Filter, row: PageRow): number[] {
  return order.map((_, nth) => Number(row[`k${nth}`]));
}

/** Binds a cursor to its list. No signature: a forged one gives another page of what its maker may read anyway. */
function sealOf({ status, category, tag, vendor, price, currency, createdAfter, order }: Filter): string {
  const facts = [status, category, tag, vendor, price && [String(price.min), String(price.max)], currency, createdAfter, order];
  return createHash("sha256").update(JSON.stringify(facts)).digest("base64url").slice(0, 16);
}
