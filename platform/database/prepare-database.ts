import { sqlState } from "./database.ts";
import type { PostgresDatabase } from "./postgres.ts";
import { extensions, versionMin } from "./provision.ts";
import { sql } from "./sql.ts";

interface Properties {
  readonly version: number;
  readonly encoding: string;
  readonly creates: boolean;
  readonly name: string;
  readonly role: string;
  readonly extensions: readonly string[];
}

const properties = sql`select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding,
  coalesce(has_schema_privilege(current_schema(), 'create'), false) as creates, current_database()::text as name, current_user::text as role,
  array(select extname::text from pg_extension where extname = any(${extensions}::text[])) as extensions`;

/**
 * Makes sure that a database has what the shop needs, whoever created it: version, encoding, rights and extensions. Creates the extensions
 * where it may. Throws, with the statement that somebody with more rights should run, when something is missing.
 */
export async function prepareDatabase(database: PostgresDatabase): Promise<void> {
  const found = await database.one<Properties>(properties);
  const { version, encoding, creates, name, role } = found;
  const what = `The database of ${database.name} ("${name}")`;
  if (version < versionMin) throw new Error(`${what} is on a PostgreSQL that is too old: Kontor needs ${versionMin / 10_000} or later`);
  if (encoding !== "UTF8") throw new Error(`${what} has the encoding ${encoding}: create it with encoding 'UTF8'`);
  if (!creates)
    throw new Error(`${what} does not let ${role} make tables: have its owner run  grant usage, create on schema public to "${role}"`);
  for (const extension of extensions.filter((needed) => !found.extensions.includes(needed))) {
    try {
      await database.maintenance(async (tx) => {
        // Two that create the same extension at once fail on each other.
        await tx.run(sql`select pg_advisory_xact_lock(hashtextextended('kontor extensions', 0))`);
        await tx.run(sql`create extension if not exists ${sql.name(extension)}`);
      });
    } catch (error) {
      const state = sqlState(error);
      if (state === "42501")
        throw new Error(
          `${what} lacks the extension ${extension}: have its owner or a superuser run  create extension ${extension}  in it`,
          {
            cause: error,
          },
        );
      // "undefined file": an extension that is not installed on the server's machine.
      if (state === "58P01" || state === "0A000")
        throw new Error(
          `${what} lacks the extension ${extension}, and so does its server: install PostgreSQL's additional modules there (postgresql-contrib)`,
          {
            cause: error,
          },
        );
      throw error;
    }
  }
}
