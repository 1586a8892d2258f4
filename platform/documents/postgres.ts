import { createBatch } from "../batch/batch.ts";
import { createLookup } from "../batch/lookup.ts";
import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import { refuse } from "../errors/refusal.ts";
import { collectionName } from "./documents.ts";
import type { Collection, Document, Documents, PutOptions } from "./documents.ts";

/** What the service's database needs for it. */
export const documentsMigrations: MigrationSet = { scope: "documents", folder: new URL("./migrations/", import.meta.url) };

const sweptAtOnce = 500;

export interface PostgresDocumentsOptions {
  readonly database: Database;
}

/** Documents as jsonb in the service's own database. Those that are read or put at the same time share a statement. */
export function createPostgresDocuments({ database }: PostgresDocumentsOptions): Documents {
  return { collection: (name) => createCollection(database, collectionName(name)) };
}

function createCollection<Body extends object>(database: Database, collection: string): Collection<Body> {
  const documents = createLookup(`documents of ${collection}`, (ids) => readAll<Body>(database, collection, ids));
  const puts = createBatch<Put, number | undefined>({
    name: `documents of ${collection}`,
    keyOf: ({ id }) => id,
    execute: async (items) => {
      const written = await putAll(
        database,
        collection,
        items.map(({ request }) => request),
      );
      return items.map(({ request: { id } }) => written.get(id));
    },
  });
  // Locked in the order of their ids, as they are written, so that two batches cannot wait for each other.
  const deleteThose = (those: Sql) =>
    sql`delete from documents where collection = ${collection} and id = any(array(
      select id from documents where collection = ${collection} and ${those} order by id for update)) returning id`;
  return {
    async get(id, now) {
      const document = await documents.find(id);
      return document?.expiresAt !== undefined && document.expiresAt <= now ? undefined : document;
    },

    async put(id, body, options) {
      const version = await puts.run({ ...options, id, body: JSON.stringify(body) });
      if (version !== undefined) return version;
      const current = await documents.find(id);
      throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", details: { version: current?.version ?? 0 } });
    },

    async delete(...ids) {
      await database.run(deleteThose(sql`id = any(${ids}::text[])`));
    },
    deleteSql: (documents) =>
      deleteThose(
        sql`(id, version) in (select * from unnest(${documents.map(({ id }) => id)}::text[], ${documents.map(({ version }) => version)}::int[]))`,
      ),

    async sweep(now) {
      for (let swept = 0; ;) {
        // The expiry is checked again outside, because a document may have been prolonged while its lock was waited for.
        const removed = await database.run(sql`
          delete from documents where collection = ${collection} and expires_at <= ${now} and id = any(array(
            select id from documents where collection = ${collection} and expires_at <= ${now} order by expires_at limit ${sweptAtOnce}))`);
        swept += removed;
        if (removed < sweptAtOnce) return swept;
      }
    },
  };
}

/** A document to be put, its body as JSON. */
interface Put extends PutOptions {
  readonly id: string;
  readonly body: string;
}

async function readAll<Body>(database: Database, collection: string, ids: readonly string[]): Promise<Map<string, Document<Body>>> {
  const rows = await database.rows<{ id: string; version: number; body: Body; expiresAt: Date | null }>(sql`
    select id, version, body, expires_at as "expiresAt" from documents where collection = ${collection} and id = any(${ids}::text[])`);
  return new Map(rows.map((row) => [row.id, { ...row, expiresAt: row.expiresAt ?? undefined }]));
}

/** Puts documents of different ids; gives the new versions of those that had the version expected. In the order of their ids, so that two batches cannot wait for each other. */
async function putAll(database: Database, collection: string, puts: readonly Put[]): Promise<Map<string, number>> {
  const sorted = puts.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const ids = sorted.map(({ id }) => id);
  const rows = await database.rows<{ id: string; version: number }>(sql`
    with put as materialized (
      select * from unnest(
        ${ids}::text[], ${sorted.map(({ body }) => body)}::text[], ${sorted.map(({ expectedVersion }) => expectedVersion)}::int[],
        ${sorted.map(({ startsAt = 1 }) => startsAt)}::int[], ${sorted.map(({ expiresAt }) => expiresAt ?? null)}::timestamptz[]
      ) as put (id, body, expected, starts_at, expires_at)
    ), inserted as (
      insert into documents (collection, id, version, body, expires_at)
      select ${collection}, id, starts_at, body::jsonb, expires_at from put where expected = 0
      on conflict do nothing returning id, version
    ), updated as (
      update documents d set version = d.version + 1, body = put.body::jsonb, expires_at = put.expires_at
      from put join (
        select id from documents where collection = ${collection} and id = any(${ids}::text[]) order by id for no key update
      ) locked on locked.id = put.id
      where d.collection = ${collection} and d.id = put.id and d.version = put.expected returning d.id, d.version
    )
    select id, version from inserted union all select id, version from updated`);
  return new Map(rows.map(({ id, version }) => [id, version]));
}
