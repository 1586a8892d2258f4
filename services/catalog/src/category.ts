import { create, equals } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CategorySchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type {
  Category,
  CreateCategoryRequest,
  ListCategoriesRequest,
  UpdateCategoryRequest,
} from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CategoryCreatedSchema, CategoryDeletedSchema, CategoryUpdatedSchema } from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import type { Queries, Reads, Transaction } from "@kontor/platform/database/database.ts";
import { readPage } from "@kontor/platform/database/cursor.ts";
import type { Page } from "@kontor/platform/database/cursor.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { slugOf } from "@kontor/contracts/slug.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { invalid } from "./product.ts";
import { freeName } from "./free-name.ts";

type Needs = Pick<ServiceContext, "events" | "clock" | "ids">;

interface Row {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly slug: string;
  readonly parent: string | null;
  readonly position: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

const slugLengthMax = 100;
const columns = sql`id, version, name, slug, parent, position, created_at, updated_at`;

/** Refuses with NOT_FOUND. */
export async function readCategory(queries: Queries, id: string): Promise<Category> {
  const row = await queries.maybe<Row>(sql`select ${columns} from categories where id = ${id}`);
  if (row === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such category" });
  return categoryMessage(row);
}

/** A page of the tree in order: by parent, position, name. Refuses with INVALID_CURSOR. */
export function listCategories(queries: Queries, request: ListCategoriesRequest): Promise<Page<Category>> {
  return readPage(request, {
    sortedBy: ["text", "int32", "text", "text"],
    valuesOf: ({ parent = "", position, name, id }) => [parent, position, name, id],
    async read(after, limit) {
      const conditions = [sql`true`];
      if (request.parent !== "") conditions.push(sql`parent = ${request.parent}`);
      if (after !== undefined) {
        const [parent, position, name, id] = after;
        conditions.push(sql`(coalesce(parent, ''), position, name, id) > (${parent}, ${position}::int, ${name}, ${id})`);
      }
      const rows = await queries.rows<Row>(sql`select ${columns} from categories where ${sql.join(conditions, sql` and `)}
        order by coalesce(parent, ''), position, name, id limit ${limit}`);
      return rows.map(categoryMessage);
    },
  });
}

/** Selects the ids of a category and of all below it. */
export function selectBranch(id: string): Sql {
  return sql`with recursive branch as (
      select id from categories where id = ${id} union select c.id from categories c join branch on c.parent = branch.id
    ) select id from branch`;
}

/** A category's id with those of all below it; none when it is not there. */
export async function branchOf(queries: Reads, id: string): Promise<string[]> {
  return (await queries.rows<{ id: string }>(selectBranch(id))).map((row) => row.id);
}

/** Refuses with SLUG_TAKEN a slug that was sent, a blank name, and a parent that is not there. Without a slug it makes one that is free. */
export async function createCategory(
  needs: Needs,
  tx: Transaction,
  request: Pick<CreateCategoryRequest, "name" | "slug" | "parent" | "position">,
  call: Call,
): Promise<Category> {
  const at = needs.clock.now();
  await lockTree(tx);
  const category = create(CategorySchema, {
    id: needs.ids.next("cat"),
    version: 1,
    name: request.name,
    slug: request.slug === "" ? await freeSlug(tx, request.name) : request.slug,
    position: request.position,
    ...(request.parent !== undefined && request.parent !== "" && { parent: request.parent }),
    createdAt: timestampFromDate(at),
    updatedAt: timestampFromDate(at),
  });
  await check(tx, category);
  const inserted = await tx.run(sql`insert into categories (id, version, name, name_key, slug, parent, position, created_at, updated_at)
    values (${category.id}, 1, ${category.name}, ${keyOf(category.name)}, ${category.slug}, ${category.parent ?? null}, ${category.position}, ${at}, ${at}) on conflict (slug) do nothing`);
  if (inserted === 0) throw slugTaken();
  await needs.events.append(tx, call, [{ stream: category.id, expectedVersion: 0, events: [create(CategoryCreatedSchema, { category })] }]);
  return category;
}

/** Refuses with NOT_FOUND, VERSION_CONFLICT, SLUG_TAKEN, CATEGORY_CYCLE. */
export async function updateCategory(
  needs: Needs,
  tx: Transaction,
  request: UpdateCategoryRequest,
  { call, seen }: { readonly call: Call; readonly seen: SeenVersion },
): Promise<Category> {
  const at = needs.clock.now();
  await lockTree(tx);
  const before = await readCategory(tx, request.category);
  seen.expect("category", before);
  const parent = request.parent ?? before.parent;
  const { id, createdAt } = before;
  const category = create(CategorySchema, {
    id,
    version: before.version + 1,
    name: request.name ?? before.name,
    slug: request.slug ?? before.slug,
    position: request.position ?? before.position,
    ...(parent !== undefined && parent !== "" && { parent }),
    createdAt: createdAt!,
    updatedAt: timestampFromDate(at),
  });
  if (equals(CategorySchema, category, { ...before, version: category.version, updatedAt: category.updatedAt! })) return before;
  await check(tx, category);
  if (category.parent !== undefined && (await branchOf(tx, category.id)).includes(category.parent))
    throw refuse({ reason: "CATEGORY_CYCLE", code: "failed_precondition", message: "A category cannot be below itself" });
  const updated = await tx.run(sql`update categories set version = ${category.version}, name = ${category.name},
      name_key = ${keyOf(category.name)}, slug = ${category.slug}, parent = ${category.parent ?? null}, position = ${category.position}, updated_at = ${at}
    where id = ${category.id} and not exists (select from categories other where other.slug = ${category.slug} and other.id <> ${category.id})`);
  if (updated === 0) throw slugTaken();
  await needs.events.append(tx, call, [
    { stream: category.id, expectedVersion: before.version, events: [create(CategoryUpdatedSchema, { category })] },
  ]);
  return category;
}

/** Nothing happens when it is not there. Refuses with CATEGORY_IN_USE. */
export async function deleteCategory(
  { events, clock }: Pick<Needs, "events" | "clock">,
  tx: Transaction,
  id: string,
  call: Call,
): Promise<void> {
  await lockTree(tx);
  const row = await tx.maybe<Row>(sql`select ${columns} from categories where id = ${id} for update`);
  if (row === undefined) return;
  const { used } = await tx.one<{ used: boolean }>(sql`select exists (select from product_categories where category = ${id})
    or exists (select from categories where parent = ${id}) as used`);
  if (used)
    throw refuse({ reason: "CATEGORY_IN_USE", code: "failed_precondition", message: "The category has products or categories below it" });
  await tx.run(sql`delete from categories where id = ${id}`);
  const category = categoryMessage({ ...row, version: row.version + 1, updated_at: clock.now() });
  await events.append(tx, call, [{ stream: id, expectedVersion: row.version, events: [create(CategoryDeletedSchema, { category })] }]);
}

/** The ids of categories by name, any case, never by slug: one at the top before one below; missing ones are made at the top. */
export async function categoriesByName(needs: Needs, tx: Transaction, names: readonly string[], call: Call): Promise<Map<string, string>> {
  if (names.length === 0) return new Map();
  await lockTree(tx);
  const rows = await tx.rows<{ id: string; name: string }>(sql`select id, name from categories
    where name_key = any(${names.map(keyOf)}::text[]) or (name_key is null and name = any(${names}::text[]))
    order by parent is not null, created_at, id`);
  const byKey = new Map(rows.toReversed().map(({ id, name }) => [keyOf(name), id]));
  const found = new Map<string, string>();
  for (const name of names) {
    const key = keyOf(name);
    const id = byKey.get(key) ?? (await createCategory(needs, tx, { name, slug: "", position: 0 }, call)).id;
    byKey.set(key, id);
    found.set(name, id);
  }
  return found;
}

/** What two names of one category have in common. */
function keyOf(name: string): string {
  return name.normalize("NFC").toLowerCase();
}

/** The caller holds the tree's lock: nobody else takes it meanwhile. */
function freeSlug(tx: Transaction, name: string): Promise<string> {
  return freeName(slugOf(name, slugLengthMax), slugLengthMax, async (slugs) => {
    const rows = await tx.rows<{ slug: string }>(sql`select slug from categories where slug = any(${slugs}::text[])`);
    return rows.map(({ slug }) => slug);
  });
}

/** One change of the tree at a time: two that are each fine could make a circle together, or take the same slug. */
async function lockTree(tx: Transaction): Promise<void> {
  await tx.run(sql`select pg_advisory_xact_lock(hashtextextended('catalog.categories', 0))`);
}

async function check(tx: Transaction, { parent }: Category): Promise<void> {
  if (parent === undefined) return;
  const row = await tx.maybe(sql`select id from categories where id = ${parent}`);
  if (row === undefined) throw invalid([{ field: "parent", reason: "NOT_FOUND", message: "is not a category" }]);
}

function slugTaken(): Error {
  return refuse({
    reason: "SLUG_TAKEN",
    code: "already_exists",
    message: "Another category has this slug",
    fields: [{ field: "slug", reason: "SLUG_TAKEN", message: "is another category's" }],
  });
}

function categoryMessage(row: Row): Category {
  const { id, version, name, slug, parent, position, created_at, updated_at } = row;
  return create(CategorySchema, {
    id,
    version,
    name,
    slug,
    position,
    ...(parent !== null && { parent }),
    createdAt: timestampFromDate(created_at),
    updatedAt: timestampFromDate(updated_at),
  });
}
