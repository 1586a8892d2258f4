import { existsSync } from "node:fs";
import { join } from "node:path";
import { createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import { masterKeyOf } from "../master-key.ts";
import { CommandError } from "../commands/command.ts";
import { shopRuns } from "../commands/app/shop-runs.ts";
import { databaseNames } from "../roles.ts";
import { openStorage } from "../storage.ts";

/** The databases of a shop, for who only reads them. */
export interface OpenDatabases {
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  /** Whether a shop runs on them, or may. */
  readonly running: boolean;
  stop(): Promise<void>;
}

/**
 * Opens a shop's databases and none of its services, which would go on with what they find there. Beside a running shop, or on the data of
 * one that is stopped. Throws `CommandError` when the folder has no shop.
 */
export async function openDatabases(config: Configuration, log: Logger): Promise<OpenDatabases> {
  const elsewhere = config.databaseUrl !== undefined || databaseNames.every((name) => config.databases[name] !== undefined);
  if (!elsewhere && config.masterKey === undefined && !existsSync(join(config.data, "master.key")))
    throw new CommandError(`there is no shop in ${config.data}: kontor start makes one, KONTOR_DATA names another folder`);
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const storage = await openStorage({ config, names: databaseNames, masterKey, shop: false, log, died: () => undefined });
  try {
    const { embedded } = storage;
    const running = embedded === undefined || (embedded.adopted && (await shopRuns(embedded.superuser)));
    const budget = createConnectionBudget({ connections: databaseNames.length + 4, background: 2 });
    const databases = new Map(
      Array.from(storage.connections, ([name, connection]) => [name, openDatabase({ name, connection, budget, log })]),
    );
    return {
      databases,
      running,
      stop: async () => {
        await Promise.all([...databases.values()].map((database) => database.stop()));
        await storage.stop();
      },
    };
  } catch (error) {
    await storage.stop();
    throw error;
  }
}
