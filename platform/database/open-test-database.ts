import { afterTests, testDatabase } from "../testing/postgres.ts";
import type { LogFields, Logger } from "../telemetry/logger.ts";
import { createConnectionBudget } from "./connection-budget.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { Connection } from "./connection.ts";
import { openDatabase } from "./postgres.ts";
import type { PostgresDatabase } from "./postgres.ts";

export interface OpenTestDatabase {
  readonly database: PostgresDatabase;
  readonly budget: ConnectionBudget;
  readonly connection: Connection;
  /** The warnings and errors it has logged. */
  readonly logged: readonly string[];
}

/** A database of the test's own, or another view of one that there is (`connection`), stopped and dropped after the tests. */
export async function openTestDatabase(
  options: {
    readonly name?: string;
    readonly budget?: ConnectionBudget;
    readonly connection?: Connection;
    readonly replica?: Connection;
  } = {},
): Promise<OpenTestDatabase> {
  const connection = options.connection ?? (await testDatabase()).connection;
  const budget = options.budget ?? createConnectionBudget({ connections: 12, background: 4 });
  const logged: string[] = [];
  const note = (_fields: LogFields, message: string) => void logged.push(message);
  const log: Logger = { debug: () => undefined, info: () => undefined, warn: note, error: note, child: () => log };
  const database = openDatabase({
    name: options.name ?? "test",
    connection,
    ...(options.replica && { replica: options.replica }),
    budget,
    log,
  });
  afterTests(() => database.stop());
  return { database, budget, connection, logged };
}
