import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { copyDatabase, holdsRows } from "@kontor/platform/database/copy-database.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { CommandError } from "../commands/command.ts";
import type { Configuration } from "../configuration.ts";
import { openEngines } from "../engines.ts";
import { masterKeyOf } from "../master-key.ts";
import { migrationsOf } from "../migrations.ts";
import { databaseNames, definitions } from "../roles.ts";
import { movedFile, openStorage } from "../storage.ts";

export interface MoveOptions {
  /** Of the installation that it becomes; its data folder is that of the embedded shop. */
  readonly config: Configuration;
  readonly log: Logger;
  /** Called after each database, and after the documents of each service that has them elsewhere. */
  readonly moved: (what: string, rows: number) => void;
}

/**
 * Copies an embedded shop, which must not run, to the servers of the configuration. Its data folder stays as it is, with a file that keeps it from being
 * started again by mistake. Throws `CommandError` when there is no shop, when it runs, or when the servers have one already; then nothing has
 * been copied.
 */
export async function moveInstallation({ config, log, moved }: MoveOptions): Promise<void> {
  const missing = databaseNames.filter((name) => config.databases[name] === undefined);
  if (config.databaseUrl === undefined && missing.length > 0)
    throw new CommandError("KONTOR_DATABASE_URL is missing: it names the PostgreSQL server to move to");
  if (!existsSync(join(config.data, "postgres")))
    throw new CommandError(`there is no embedded shop in ${config.data}: KONTOR_DATA names another folder`);
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const shared = { names: databaseNames, masterKey, log, died: () => undefined };
  const embedded: Configuration = {
    ...config,
    databaseUrl: undefined,
    databases: noDatabases,
    replicaUrl: undefined,
    replicas: noDatabases,
  };
  // Under the lock of a running shop, so that none starts meanwhile.
  const source = await openStorage({ ...shared, config: embedded, shop: true });
  try {
    const target = await openStorage({ ...shared, config, shop: false });
    for (const [name, connection] of target.connections) {
      await bringUpToDate(name, connection, log);
      if (await holdsRows(connection))
        throw new CommandError(`the database of ${name} there has data of a shop already: nothing was moved`);
    }
    // What the version before has left is copied in this version's form.
    for (const [name, connection] of source.connections) await bringUpToDate(name, connection, log);
    for (const [name, from] of source.connections) {
      const copied = await copyDatabase(from, target.connections.get(name)!);
      moved(
        name,
        Object.values(copied).reduce((sum, rows) => sum + rows, 0),
      );
    }
    for (const { name, documents = [] } of definitions)
      if (config.documents[name] !== undefined)
        moved(
          `documents of ${name}`,
          await moveDocuments(
            name,
            documents.map((one) => one.name),
            source.connections.get(name)!,
            config,
            log,
          ),
        );
    const at = new Date().toISOString();
    await writeFile(join(config.data, movedFile), `${at}\n`);
  } finally {
    await source.release();
    await source.stop();
  }
}

const noDatabases = Object.fromEntries(databaseNames.map((name) => [name, undefined])) as Configuration["databases"];

async function bringUpToDate(name: string, connection: Connection, log: Logger): Promise<void> {
  const database = openDatabase({ name, connection, budget: createConnectionBudget({ connections: 3, background: 1 }), log });
  try {
    await migrate(database, migrationsOf([name]).get(name)!);
  } finally {
    await database.stop();
  }
}

/** Documents keep their versions: a client may know one. */
async function moveDocuments(
  name: string,
  collections: readonly string[],
  connection: Connection,
  config: Configuration,
  log: Logger,
): Promise<number> {
  const database = openDatabase({ name, connection, budget: createConnectionBudget({ connections: 3, background: 1 }), log });
  const engines = await openEngines({ config, alone: true, log });
  const documents = engines.forServices.documents?.(name, database);
  if (documents === undefined) throw new Error(`no engine is configured for the documents of ${name}`);
  await engines.start();
  try {
    const rows = await database.rows<{ collection: string; id: string; version: number; body: object; expires: Date | null }>(
      sql`select collection, id, version, body, expires_at as expires from documents where collection = any(${collections}::text[])`,
    );
    for (const { collection, id, version, body, expires } of rows)
      await documents
        .collection(collection)
        .put(id, body, { expectedVersion: 0, startsAt: version, ...(expires !== null && { expiresAt: expires }) });
    return rows.length;
  } finally {
    await engines.stop();
    await database.stop();
  }
}
