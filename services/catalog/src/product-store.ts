import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { invalid, lineTitle, productEvent } from "./product.ts";
import type { ChangeKind } from "./product.ts";

/** A product before and after a change; it is new without a before, gone without an after. */
export interface ProductChange {
  readonly kind: ChangeKind;
  readonly before: Product | undefined;
  readonly after: Product;
}

/** The product with this id, locked until the transaction ends. Refuses with NOT_FOUND. */
export async function lockProduct(tx: Transaction, id: string): Promise<Product> {
  const row = await tx.maybe<{ state: Uint8Array }>(sql`select state from products where id = ${id} for update`);
  if (row === undefined) throw notFound();
  return fromBinary(ProductSchema, row.state);
}

/** Those with these handles, locked in the order of their ids. */
export async function lockProductsByHandle(tx: Transaction, handles: readonly string[]): Promise<Product[]> {
  const rows = await tx.rows<{ state: Uint8Array }>(sql`select state from products where handle = any(${handles}::text[]) order by id for update`);
  return rows.map(({ state }) => fromBinary(ProductSchema, state));
}

/** By id or handle. */
export async function findProduct(queries: Queries, idOrHandle: string): Promise<Product | undefined> {
  const row = await queries.maybe<{ state: Uint8Array }>(
    idOrHandle.startsWith("prd_") ? sql`select state from products where id = ${idOrHandle}` : sql`select state from products where handle = ${idOrHandle}`,
  );
  return row && fromBinary(ProductSchema, row.state);
}

/** In the order of the ids; one that is not there is left out. */
export async function readProducts(queries: Queries, ids: readonly string[]): Promise<Product[]> {
  if (ids.length === 0) return [];
  const rows = await queries.rows<{ id: string; state: Uint8Array }>(sql`select id, state from products where id = any(${ids}::text[])`);
  const byId = new Map(rows.map(({ id, state }) => [id, fromBinary(ProductSchema, state)]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

/** All ids, page by page: for filling the search index anew. */
export async function productIdsAfter(queries: Queries, after: string, limit: number): Promise<string[]> {
  const rows = await queries.rows<{ id: string }>(sql`select id from products where id > ${after} order by id limit ${limit}`);
  return rows.map(({ id }) => id);
}

/** Which of these SKUs belong to which product. */
export async function ownersOfSkus(queries: Queries, skus: readonly string[]): Promise<Map<string, string>> {
  const rows = await queries.rows<{ sku: string; product: string }>(sql`select sku, product from variants where sku = any(${skus}::text[])`);
  return new Map(rows.map(({ sku, product }) => [sku, product]));
}

export async function existingCategories(queries: Queries, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await queries.rows<{ id: string }>(sql`select id from categories where id = any(${ids}::text[]) for key share`);
  return new Set(rows.map(({ id }) => id));
}

/** Refuses with INVALID_REQUEST when a product stands in a category that is not there. */
export async function checkCategories(tx: Transaction, product: Product): Promise<void> {
  const existing = await existingCategories(tx, product.categories);
  const missing = product.categories.flatMap((id, at) => (existing.has(id) ? [] : [{ field: `categories[${at}]`, reason: "NOT_FOUND", message: "is not a category" }]));
  if (missing.length > 0) throw invalid(missing);
}

/**
 * Stores changes of products, which are locked or new, with their variants, categories and events: five statements for however many.
 * Refuses with HANDLE_TAKEN or SKU_TAKEN.
 */
export async function saveProducts({ events }: Pick<Surroundings, "events">, tx: Transaction, changes: readonly ProductChange[], call: Call): Promise<void> {
  if (changes.length === 0) return;
  const stay = changes.filter(({ kind }) => kind !== "deleted").map(({ after }) => after);
  const ids = changes.map(({ after }) => after.id);
  await tx.run(sql`with gone as (delete from products where id = any(${changes.flatMap(({ kind, after }) => (kind === "deleted" ? [after.id] : []))}::text[]))
    delete from variants where product = any(${ids}::text[]) and not sku = any(${stay.flatMap(({ variants }) => variants.map(({ sku }) => sku))}::text[])`);
  await tx.run(sql`delete from product_categories where product = any(${ids}::text[])`);
  if (stay.length > 0) await insertProducts(tx, stay);
  await events.append(
    tx,
    call,
    changes.map(({ kind, before, after }) => ({ stream: after.id, expectedVersion: before?.version ?? 0, events: [productEvent(kind, after)] })),
  );
}

async function insertProducts(tx: Transaction, products: readonly Product[]): Promise<void> {
  const stored = await tx.run(sql`
    insert into products (id, version, status, handle, state, created_at, updated_at)
    select * from unnest(${products.map(({ id }) => id)}::text[], ${products.map(({ version }) => version)}::int[],
      ${products.map(({ status }) => ProductStatus[status])}::text[], ${products.map(({ handle }) => handle)}::text[],
      ${products.map((product) => toBinary(ProductSchema, product))}::bytea[], ${products.map(({ createdAt }) => timestampDate(createdAt!))}::timestamptz[],
      ${products.map(({ updatedAt }) => timestampDate(updatedAt!))}::timestamptz[])
      as p (id, version, status, handle, state, created_at, updated_at)
    where not exists (select from products other where other.handle = p.handle and other.id <> p.id)
    on conflict (id) do update set version = excluded.version, status = excluded.status, handle = excluded.handle, state = excluded.state,
      updated_at = excluded.updated_at`);
  if (stored !== products.length)
    throw refuse({
      reason: "HANDLE_TAKEN",
      code: "already_exists",
      message: "Another product has this handle",
      fields: [{ field: "handle", reason: "HANDLE_TAKEN", message: "is another product's" }],
    });
  const variants = products.flatMap((product) => product.variants.map((variant) => ({ product, variant, price: moneyFrom(variant.price!) })));
  const kept = await tx.run(sql`
    insert into variants (sku, id, product, title, currency, price)
    select * from unnest(${variants.map(({ variant }) => variant.sku)}::text[], ${variants.map(({ variant }) => variant.id)}::text[],
      ${variants.map(({ product }) => product.id)}::text[], ${variants.map(({ product, variant }) => lineTitle(product, variant))}::text[],
      ${variants.map(({ price }) => price.currency)}::text[], ${variants.map(({ price }) => price.minor)}::bigint[])
    on conflict (sku) do update set id = excluded.id, title = excluded.title, currency = excluded.currency, price = excluded.price
    where variants.product = excluded.product`);
  if (kept !== variants.length)
    throw refuse({
      reason: "SKU_TAKEN",
      code: "already_exists",
      message: "Another product has one of these SKUs",
      fields: [{ field: "variants", reason: "SKU_TAKEN", message: "has the SKU of another product" }],
    });
  const places = products.flatMap(({ id, categories }) => categories.map((category) => ({ id, category })));
  if (places.length > 0)
    await tx.run(sql`insert into product_categories (product, category)
      select * from unnest(${places.map(({ id }) => id)}::text[], ${places.map(({ category }) => category)}::text[])`);
}

export function notFound(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such product" });
}
