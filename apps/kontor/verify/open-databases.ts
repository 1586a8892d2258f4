import { existsSync } from "node:fs";
import { join } from "node:path";
import { createBudget } from "@kontor/platform/database/budget.ts";
import { startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { provision } from "@kontor/platform/database/provision.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import { masterKeyOf } from "../master-key.ts";
import { CommandError } from "../commands/command.ts";
import { shopRuns } from "../commands/house/shop-runs.ts";

const names = [
  "identity",
  "catalog",
  "inventory",
  "carts",
  "checkout",
  "orders",
  "payments",
  "notifications",
  "mailbox",
  "provider",
] as const;

/** The databases of a shop, for who only reads them. */
export interface OpenDatabases {
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly running: boolean;
  stop(): Promise<void>;
}

/**
 * Opens a shop's databases and none of its services, which would go on with what they find there. Beside a running shop, or on the data of
 * one that is stopped. Throws `CommandError` when the folder has no shop.
 */
export async function openDatabases(config: Configuration, log: Logger): Promise<OpenDatabases> {
  if (config.masterKey === undefined && !existsSync(join(config.data, "master.key")))
    throw new CommandError(`there is no shop in ${config.data}: kontor start makes one, KONTOR_DATA names another folder`);
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const postgres = await startEmbeddedPostgres({ folder: config.data, log });
  const stop = async () => {
    // One that was there already is a running shop's, or waits for one.
    if (!postgres.adopted) await postgres.stop();
  };
  try {
    const running = postgres.adopted && (await shopRuns(postgres.superuser));
    const connections = await provision(postgres.superuser, names, masterKey);
    const budget = createBudget({ connections: names.length + 4, background: 2 });
    const databases = new Map(Array.from(connections, ([name, connection]) => [name, openDatabase({ name, connection, budget, log })]));
    return {
      databases,
      running,
      stop: async () => {
        await Promise.all([...databases.values()].map((database) => database.stop()));
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
