import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { sqlState } from "@kontor/platform/database/database.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { slugOf } from "@kontor/contracts/slug.ts";
import { freeName } from "./free-name.ts";
import { invalid, lineTitle, productEvent } from "./product.ts";
import type { ChangeKind } from "./product.ts";

const handleLengthMax = 255;

/** A product before and after a change; it is new without a before, deleted without an after. */
export interface ProductChange {
  readonly kind: ChangeKind;
  readonly before: Product | undefined;
  readonly after: Product;
}

/** The product with this id, if there is one, locked until the transaction ends. */
export async function findLocked(tx: Transaction, id: string): Promise<Product | undefined> {
  const row = await tx.maybe<{ state: Uint8Array }>(sql`select state from products where id = ${id} for update`);
  return row && fromBinary(ProductSchema, row.state);
}

/** The same, at the version that the caller has seen. Refuses with NOT_FOUND and VERSION_CONFLICT. */
export async function lockProduct(tx: Transaction, id: string, seen: SeenVersion): Promise<Product> {
  const product = await findLocked(tx, id);
  if (product === undefined) throw notFound();
  seen.expect("product", product);
  return product;
}

/** Those with these handles, locked in the order of their ids. */
export async function lockProductsByHandle(tx: Transaction, handles: readonly string[]): Promise<Product[]> {
  const rows = await tx.rows<{ state: Uint8Array }>(
    sql`select state from products where handle = any(${handles}::text[]) order by id for update`,
  );
  return rows.map(({ state }) => fromBinary(ProductSchema, state));
}

/** A handle made from a title that no product has, and none can take before the transaction ends. */
export async function freeHandle(tx: Transaction, title: string): Promise<string> {
  for (;;) {
    const free = async () =>
      freeName(slugOf(title), handleLengthMax, async (handles) => {
        const rows = await tx.rows<{ handle: string }>(sql`select handle from products where handle = any(${handles}::text[])`);
        return rows.map(({ handle }) => handle);
      });
    const handle = await free();
    await lockHandles(tx, [handle]);
    // Whoever had the lock before may have taken it.
    if ((await free()) === handle) return handle;
  }
}

/** Makes all who take one of these handles wait for each other. */
async function lockHandles(tx: Transaction, handles: readonly string[]): Promise<void> {
  await tx.run(
    sql`select pg_advisory_xact_lock(hashtextextended('catalog.handle ' || handle, 0)) from unnest(${handles.toSorted()}::text[]) as handle`,
  );
}

/** Which of these SKUs belong to which product. */
export async function ownersOfSkus(queries: Queries, skus: readonly string[]): Promise<Map<string, string>> {
  const rows = await queries.rows<{ sku: string; product: string }>(
    sql`select sku, product from variants where sku = any(${skus}::text[])`,
  );
  return new Map(rows.map(({ sku, product }) => [sku, product]));
}

export async function existingCategories(queries: Queries, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await queries.rows<{ id: string }>(sql`select id from categories where id = any(${ids}::text[]) for key share`);
  return new Set(rows.map(({ id }) => id));
}

/** Refuses with INVALID_REQUEST when a product is in a category that does not exist. */
export async function checkCategories(tx: Transaction, product: Product): Promise<void> {
  const existing = await existingCategories(tx, product.categories);
  const missing = product.categories.flatMap((id, at) =>
    existing.has(id) ? [] : [{ field: `categories[${at}]`, reason: "NOT_FOUND", message: "is not a category" }],
  );
  if (missing.length > 0) throw invalid(missing);
}

/**
 * Stores changes of products, which are locked or new, with their variants, categories and events: at most five statements for however many.
 * Refuses with HANDLE_TAKEN or SKU_TAKEN.
 */
export async function saveProducts(
  { events }: Pick<ServiceContext, "events">,
  tx: Transaction,
  changes: readonly ProductChange[],
  call: Call,
): Promise<void> {
  if (changes.length === 0) return;
  const stay = changes.filter(({ kind }) => kind !== "deleted").map(({ after }) => after);
  const deleted = changes.filter(({ kind }) => kind === "deleted").map(({ after }) => after.id);
  const known = changes.flatMap(({ before }) => before?.id ?? []);
  const named = changes.flatMap(({ before, after }) => (before?.handle === after.handle ? [] : [after.handle]));
  if (named.length > 0) await lockHandles(tx, named);
  if (known.length > 0) await removeRows(tx, { deleted, known, stay });
  if (stay.length > 0) await putProducts(tx, stay);
  await events.append(
    tx,
    call,
    changes.map(({ kind, before, after }) => ({
      stream: after.id,
      expectedVersion: before?.version ?? 0,
      events: [productEvent(kind, after)],
    })),
  );
}

/** Deletes products, and what the others no longer have. A SKU may go to another of them in the same change. */
async function removeRows(
  tx: Transaction,
  { deleted, known, stay }: { readonly deleted: readonly string[]; readonly known: readonly string[]; readonly stay: readonly Product[] },
): Promise<void> {
  const variants = stay.flatMap(({ id, variants }) => variants.map(({ sku }) => ({ id, sku })));
  const assignments = assignmentsOf(stay);
  await tx.run(sql`with deleted as (delete from products where id = any(${deleted}::text[])),
    unassigned as (delete from product_categories where product = any(${known}::text[]) and (product, category) not in (
      select * from unnest(${assignments.map(({ id }) => id)}::text[], ${assignments.map(({ category }) => category)}::text[])))
    delete from variants where product = any(${known}::text[]) and (product, sku) not in (
      select * from unnest(${variants.map(({ id }) => id)}::text[], ${variants.map(({ sku }) => sku)}::text[]))`);
}

async function putProducts(tx: Transaction, unsorted: readonly Product[]): Promise<void> {
  // In one order, so that two who store the same wait for each other instead of for ever.
  const products = unsorted.toSorted((one, other) => (one.handle < other.handle ? -1 : 1));
  try {
    await tx.run(sql`
      insert into products (id, version, status, handle, vendor, tags, state, created_at, updated_at)
      select id, version, status, handle, vendor, array(select jsonb_array_elements_text(tags::jsonb)), state, created_at, updated_at
      from unnest(${products.map(({ id }) => id)}::text[], ${products.map(({ version }) => version)}::int[],
        ${products.map(({ status }) => ProductStatus[status])}::text[], ${products.map(({ handle }) => handle)}::text[],
        ${products.map(({ vendor }) => vendor)}::text[], ${products.map(({ tags }) => JSON.stringify(tags))}::text[],
        ${products.map((product) => toBinary(ProductSchema, product))}::bytea[], ${products.map(({ createdAt }) => timestampDate(createdAt!))}::timestamptz[],
        ${products.map(({ updatedAt }) => timestampDate(updatedAt!))}::timestamptz[])
        as p (id, version, status, handle, vendor, tags, state, created_at, updated_at)
      on conflict (id) do update set version = excluded.version, status = excluded.status, handle = excluded.handle, vendor = excluded.vendor,
        tags = excluded.tags, state = excluded.state, updated_at = excluded.updated_at`);
  } catch (error) {
    if (sqlState(error) === "23505") throw handleTaken(error);
    throw error;
  }
  const variants = products.flatMap(variantRows).toSorted((one, other) => (one.sku < other.sku ? -1 : 1));
  const assignments = assignmentsOf(products);
  const stored = await tx.rows<{ sku: string }>(sql`
    with assigned as (insert into product_categories (product, category)
      select * from unnest(${assignments.map(({ id }) => id)}::text[], ${assignments.map(({ category }) => category)}::text[]) on conflict do nothing)
    insert into variants (sku, id, product, title, currency, price, cheapest, iso_4217)
    select *, true from unnest(${variants.map(({ sku }) => sku)}::text[], ${variants.map(({ id }) => id)}::text[],
      ${variants.map(({ product }) => product)}::text[], ${variants.map(({ title }) => title)}::text[],
      ${variants.map(({ currency }) => currency)}::text[], ${variants.map(({ minor }) => minor)}::bigint[], ${variants.map(({ cheapest }) => cheapest)}::boolean[])
    on conflict (sku) do update set id = excluded.id, title = excluded.title, currency = excluded.currency, price = excluded.price, cheapest = excluded.cheapest,
      iso_4217 = excluded.iso_4217
    where variants.product = excluded.product returning sku`);
  if (stored.length < variants.length) throw skuTaken(products, new Set(stored.map(({ sku }) => sku)));
}

function assignmentsOf(products: readonly Product[]): { readonly id: string; readonly category: string }[] {
  return products.flatMap(({ id, categories }) => categories.map((category) => ({ id, category })));
}

/** Variants as rows. In each currency the first of the lowest price is the one that its product is sorted by. */
function variantRows(product: Product) {
  const cheapest = new Map<string, { readonly sku: string; readonly minor: bigint }>();
  const rows = product.variants.map((variant) => ({
    sku: variant.sku,
    id: variant.id,
    product: product.id,
    title: lineTitle(product, variant),
    ...moneyFrom(variant.price!),
  }));
  for (const { sku, currency, minor } of rows)
    if (minor < (cheapest.get(currency)?.minor ?? Infinity)) cheapest.set(currency, { sku, minor });
  return rows.map((row) => ({ ...row, cheapest: cheapest.get(row.currency)?.sku === row.sku }));
}

function handleTaken(cause: unknown): Error {
  return refuse({
    reason: "HANDLE_TAKEN",
    code: "already_exists",
    message: "Another product has this handle",
    fields: [{ field: "handle", reason: "HANDLE_TAKEN", message: "is another product's" }],
    cause,
  });
}

function skuTaken(products: readonly Product[], stored: ReadonlySet<string>): Error {
  const fields = products.flatMap(({ variants }) =>
    variants.flatMap(({ sku }, at) =>
      stored.has(sku) ? [] : [{ field: `variants[${at}].sku`, reason: "SKU_TAKEN", message: "is another product's" }],
    ),
  );
  return refuse({
    reason: "SKU_TAKEN",
    code: "already_exists",
    message: "Another product has one of these SKUs",
    fields: fields.slice(0, 20),
  });
}

export function notFound(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such product" });
}
