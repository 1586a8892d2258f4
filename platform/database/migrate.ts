import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { sqlState } from "./database.ts";
import type { Queries } from "./database.ts";
import type { Maintenance, PostgresDatabase } from "./postgres.ts";
import { prepareDatabase } from "./prepare-database.ts";
import { sql } from "./sql.ts";

/** The numbered files of one owner: a seam of the platform, or the service. */
export interface MigrationSet {
  /** Kept for ever, as the numbers are: what has been applied is known by both. */
  readonly scope: string;
  /** Holds `0001-name.sql`, `0002-name.sql` and on. */
  readonly folder: URL;
}

interface Migration {
  readonly scope: string;
  readonly number: number;
  readonly name: string;
  readonly text: string;
  readonly checksum: string;
}

interface Applied {
  readonly scope: string;
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

/** What the idempotency keys need. */
export const idempotencyMigrations: MigrationSet = { scope: "idempotency", folder: new URL("./migrations/", import.meta.url) };

/**
 * Brings a database up to date: makes sure that it can be used (`prepareDatabase`) and applies the files not applied yet, in
 * order, each in a transaction of its own. Several processes may do it at once. Costs one round trip when there is nothing to do. A database
 * that is ahead (a newer release runs beside) is fine. Throws, naming the file, when one that was applied has changed or a number is missing.
 */
export async function migrate(database: PostgresDatabase, sets: readonly MigrationSet[]): Promise<void> {
  const [migrations, applied] = await Promise.all([readSets(sets), readApplied(database), prepareDatabase(database)]);
  const pending = outstanding(migrations, applied);
  for (const migration of pending) await database.maintenance((tx) => apply(tx, migration));
}

/** The files that `migrate` would apply now, each with its scope before it. Throws as it does. */
export async function pendingMigrations(queries: Queries, sets: readonly MigrationSet[]): Promise<string[]> {
  const [migrations, applied] = await Promise.all([readSets(sets), readApplied(queries)]);
  return outstanding(migrations, applied).map(({ scope, name }) => `${scope}/${name}`);
}

async function readApplied(database: Pick<Queries, "rows">): Promise<Applied[]> {
  try {
    return await database.rows<Applied>(sql`select scope, number, name, checksum from migrations`);
  } catch (error) {
    if (sqlState(error) === "42P01") return []; // the first start
    throw error;
  }
}

function outstanding(migrations: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const known = new Map(applied.map((row) => [`${row.scope}/${row.number}`, row]));
  const last = new Map<string, number>();
  for (const { scope, number } of applied) last.set(scope, Math.max(number, last.get(scope) ?? 0));
  return migrations.filter((migration) => {
    const { scope, number, name, checksum } = migration;
    const row = known.get(`${scope}/${number}`);
    if (row === undefined) {
      if (number < (last.get(scope) ?? 0))
        throw new Error(`${name} of ${scope} was not applied, but later ones were: give it the next number`);
      return true;
    }
    if (row.checksum !== checksum)
      throw new Error(`${name} of ${scope} has changed since it was applied as ${row.name}: undo that, and make a new one`);
    return false;
  });
}

async function apply(tx: Maintenance, { scope, number, name, text, checksum }: Migration): Promise<void> {
  // Another process's migration may take long. What this migration then waits for is in use, and later statements wait behind it.
  await tx.run(sql`select pg_advisory_xact_lock(hashtextextended('kontor migrations', 0))`);
  await tx.run(sql`set local lock_timeout = '5s'`);
  await tx.script(
    `create table if not exists migrations (scope text, number integer, name text not null, checksum text not null,
       at timestamptz not null default now(), primary key (scope, number))`,
  );
  // Another process may have been quicker, with another release perhaps.
  const applied = await tx.maybe<Applied>(
    sql`select scope, number, name, checksum from migrations where scope = ${scope} and number = ${number}`,
  );
  if (applied !== undefined) return void outstanding([{ scope, number, name, text, checksum }], [applied]);
  try {
    await tx.script(text);
  } catch (error) {
    throw new Error(`${name} of ${scope} failed`, { cause: error });
  }
  await tx.run(sql`insert into migrations (scope, number, name, checksum) values (${scope}, ${number}, ${name}, ${checksum})`);
}

async function readSets(sets: readonly MigrationSet[]): Promise<Migration[]> {
  if (new Set(sets.map(({ scope }) => scope)).size < sets.length) throw new Error("Two sets of migrations have the same scope");
  return (await Promise.all(sets.map(readSet))).flat();
}

async function readSet({ scope, folder }: MigrationSet): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).toSorted();
  return Promise.all(
    names.map(async (name, at) => {
      const number = Number(/^(\d{4})-[a-z0-9-]+\.sql$/.exec(name)?.[1]);
      if (number !== at + 1)
        throw new Error(`${name} of ${scope} should be number ${String(at + 1).padStart(4, "0")}: a number is missing or there twice`);
      const text = (await readFile(new URL(name, folder), "utf8")).replaceAll("\r\n", "\n");
      return { scope, number, name, text, checksum: createHash("sha256").update(text).digest("hex") };
    }),
  );
}
