import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { connectionsMin, createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import { migrationsOf } from "./migrations.ts";
import type { Storage } from "./storage.ts";

const backgroundShare = 0.3;

/** The open databases of this process by role, which share its connections. Throws a `ConfigError` when KONTOR_CONNECTIONS is too low for them. */
export function openDatabases(
  { connections, replicas }: Pick<Storage, "connections" | "replicas">,
  config: Configuration,
  log: Logger,
): ReadonlyMap<string, PostgresDatabase> {
  const least = connectionsMin(connections.size + replicas.size);
  if (config.connections < least)
    throw new ConfigError([{ variable: "KONTOR_CONNECTIONS", message: `must be ${least} or more for the databases of this process` }]);
  const budget = createConnectionBudget({ connections: config.connections, background: Math.ceil(config.connections * backgroundShare) });
  return new Map(
    Array.from(connections, ([name, connection]) => {
      const replica = replicas.get(name);
      return [name, openDatabase({ name, connection, budget, log: log.child({ service: name }), ...(replica && { replica }) })] as const;
    }),
  );
}

/** Applies the migrations that a database does not have yet. */
export async function migrateAll(databases: ReadonlyMap<string, PostgresDatabase>): Promise<void> {
  const migrations = migrationsOf([...databases.keys()]);
  await Promise.all(Array.from(databases, ([name, database]) => migrate(database, migrations.get(name)!)));
}

/** Ready while every database responds. */
export function databasesComponent(databases: ReadonlyMap<string, PostgresDatabase>): Component & { stop(): Promise<void> } {
  const all = [...databases.values()];
  return {
    name: "databases",
    stop: async () => void (await Promise.all(all.map((database) => database.stop()))),
    ready: async () => {
      await Promise.all(all.map((database) => database.start()));
      return true;
    },
  };
}
