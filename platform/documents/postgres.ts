import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import { refuse } from "../errors/refusal.ts";
import { collectionName } from "./documents.ts";
import type { Collection, Document, Documents } from "./documents.ts";

/** What the service's database needs for it. */
export const documentsMigrations: MigrationSet = { scope: "documents", folder: new URL("./migrations/", import.meta.url) };

const sweptAtOnce = 500;

export interface PostgresDocumentsOptions {
  readonly database: Database;
}

/** Documents as jsonb in the service's own database. Each operation is one statement; a refused `put` and a `sweep` may take more. */
export function createPostgresDocuments({ database }: PostgresDocumentsOptions): Documents {
  return { collection: (name) => createCollection(database, collectionName(name)) };
}

function createCollection<Body extends object>(database: Database, collection: string): Collection<Body> {
  return {
    async get(id, now) {
      const row = await database.maybe<{ version: number; body: Body; expiresAt: Date | null }>(sql`
        select version, body, expires_at as "expiresAt" from documents
        where collection = ${collection} and id = ${id} and (expires_at is null or expires_at > ${now})`);
      if (row === undefined) return undefined;
      return { id, version: row.version, body: row.body, expiresAt: row.expiresAt ?? undefined } satisfies Document<Body>;
    },

    async put(id, body, { expectedVersion, expiresAt, startsAt = 1 }) {
      const text = JSON.stringify(body);
      const written = await database.maybe<{ version: number }>(
        expectedVersion === 0
          ? sql`
              insert into documents (collection, id, version, body, expires_at)
              values (${collection}, ${id}, ${startsAt}, ${text}, ${expiresAt ?? null})
              on conflict do nothing returning version`
          : sql`
              update documents set version = version + 1, body = ${text}, expires_at = ${expiresAt ?? null}
              where collection = ${collection} and id = ${id} and version = ${expectedVersion} returning version`,
      );
      if (written !== undefined) return written.version;
      const current = await database.maybe<{ version: number }>(sql`
        select version from documents where collection = ${collection} and id = ${id}`);
      throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", details: { version: current?.version ?? 0 } });
    },

    async delete(...ids) {
      await database.run(sql`delete from documents where collection = ${collection} and id = any(${ids}::text[])`);
    },

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
