import { randomBytes } from "node:crypto";
import { after, getTestContext } from "node:test";
import pg from "pg";
import { createConnectionBudget } from "../database/connection-budget.ts";
import { connectionFrom, connectionUrl, type Connection } from "../database/connection.ts";
import { sqlState } from "../database/database.ts";
import { migrate, type MigrationSet } from "../database/migrate.ts";
import { openDatabase, type PostgresDatabase } from "../database/postgres.ts";
import type { Logger } from "../telemetry/logger.ts";
import { testTemplate, testVariable } from "./names.ts";

/** A database of one test file's own. */
export interface TestDatabase {
  readonly connection: Connection;
  readonly url: string;
  /** Ends its sessions and deletes it; called after the tests. Safe to repeat. */
  drop(): Promise<void>;
}

/**
 * Makes an empty database with the extensions that services have, and drops it after the tests of the file (or of the suite or
 * test that it is called in). Throws when no test server runs: `npm test`, or `node tools/test.ts <file>`, starts one.
 */
export async function testDatabase(): Promise<TestDatabase> {
  const url = process.env[testVariable];
  if (url === undefined || url === "")
    throw new Error(
      `${testVariable} is not set: run the tests with npm test (or node tools/test.ts <file>), which starts a PostgreSQL for them.`,
    );
  const server = connectionFrom(url, testVariable);
  const connection = { ...server, database: `test_${randomBytes(6).toString("hex")}` };
  await once(server, `create database ${connection.database} template ${testTemplate} strategy file_copy`);
  let dropped: Promise<void> | undefined;
  const drop = (): Promise<void> => (dropped ??= once(server, `drop database if exists ${connection.database} with (force)`));
  // Not awaited: hooks registered after this one, which close connections, run after it. PostgreSQL waits 5 s for them.
  afterTests(() => {
    dropped ??= once(server, `drop database if exists ${connection.database}`).catch((error: unknown) => {
      if (sqlState(error) !== "55006") throw error;
      console.error(`${connection.database} still has open connections after the tests: stop the database in an after hook.`);
      return once(server, `drop database if exists ${connection.database} with (force)`);
    });
  });
  return { connection, url: connectionUrl(connection), drop };
}

export interface OpenTestDatabaseOptions {
  /** Applied in this order, as a service's `start` would. */
  readonly migrations?: readonly MigrationSet[];
  /** The service's name; "test" by default. */
  readonly name?: string;
  /** Connections in all, four of them for background work; 16 by default. */
  readonly connections?: number;
  /** By default warnings and errors go to the test's output. */
  readonly log?: Logger;
}

/**
 * A test database, open and migrated; stopped and dropped after the test, suite or file that opened it, like `testDatabase`.
 * `connection` is for another view of it (`openDatabase` again), as a second replica has one.
 */
export async function openTestDatabase(
  options: OpenTestDatabaseOptions = {},
): Promise<PostgresDatabase & { readonly connection: Connection }> {
  const { connection } = await testDatabase();
  const budget = createConnectionBudget({ connections: options.connections ?? 16, background: 4 });
  const database = openDatabase({ name: options.name ?? "test", connection, budget, log: options.log ?? loud });
  afterTests(() => database.stop());
  await database.start();
  await migrate(database, options.migrations ?? []);
  return Object.assign(database, { connection });
}

const loud: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => loud,
};

/**
 * Runs `end` after the test or suite that this is called in, in its `before` hook too (where `after` itself would run right after
 * the hook), and after the file's tests when called outside of both.
 */
export function afterTests(end: () => void | Promise<void>): void {
  const context = getTestContext();
  if (context !== undefined && "after" in context) context.after(end);
  else after(end);
}

async function once(connection: Connection, statement: string): Promise<void> {
  const client = new pg.Client({ ...connection });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
