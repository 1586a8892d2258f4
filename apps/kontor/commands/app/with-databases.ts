import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { readConfiguration } from "../../configuration.ts";
import { serviceNames } from "../../roles.ts";
import { openDatabases } from "../../verify/open-databases.ts";
import { UsageError } from "../command.ts";
import type { Context } from "../command.ts";
import { explainOpening } from "./explain-opening.ts";
import { quietLogger } from "./with-app.ts";

/**
 * Opens the services' databases, or the one that is named, beside a running shop or without one, for one piece of work. Throws `UsageError` for a
 * name that is no service's.
 */
export async function withDatabases<T>(
  context: Context,
  service: string | undefined,
  work: (databases: ReadonlyMap<string, PostgresDatabase>) => Promise<T>,
): Promise<T> {
  const config = readConfiguration(context.env);
  const { databases, stop } = await openDatabases(config, quietLogger(context)).catch((error: unknown) => {
    throw explainOpening(error, config);
  });
  try {
    const all = new Map([...databases].filter(([name]) => serviceNames.some((service) => service === name)));
    if (service === undefined) return await work(all);
    const database = all.get(service);
    if (database === undefined) throw new UsageError(`there is no service "${service}": ${[...all.keys()].join(", ")}`);
    return await work(new Map([[service, database]]));
  } finally {
    await stop();
  }
}
