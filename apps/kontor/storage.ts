import { existsSync } from "node:fs";
import { join } from "node:path";
import { connectionFrom } from "@kontor/platform/database/connection.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import type { EmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { acquireInstallationLock } from "@kontor/platform/database/installation-lock.ts";
import { provision } from "@kontor/platform/database/provision.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import { variableOf } from "./roles.ts";
import type { DatabaseName } from "./roles.ts";

/** The file in a data folder which says that its shop has moved to a server. */
export const movedFile = "moved";

/** Another shop runs on the same data. */
export class InstallationInUse extends Error {}

/** Where the databases are. */
export interface Storage {
  readonly connections: ReadonlyMap<string, Connection>;
  /** Read replicas, of the databases that have one. */
  readonly replicas: ReadonlyMap<string, Connection>;
  /** The embedded server, when one is needed. */
  readonly embedded: EmbeddedPostgres | undefined;
  /** Releases the lock, so that the next shop can start. */
  release(): Promise<void>;
  /** Stops the embedded server, unless a running shop uses it. */
  stop(): Promise<void>;
}

export interface StorageOptions {
  readonly config: Configuration;
  /** The databases that this process needs. */
  readonly names: readonly DatabaseName[];
  readonly masterKey: Uint8Array;
  /** A shop is the only one on its embedded data; other commands work beside it or without one. */
  readonly shop: boolean;
  readonly log: Logger;
  readonly settings?: Readonly<Record<string, string>>;
  /** Called when the embedded server ends without `stop`. */
  readonly died: (error: Error) => void;
}

/**
 * The databases of the names: each at its own address, on the server of KONTOR_DATABASE_URL, or on an embedded one. Those
 * on the latter two are created where they are missing. Throws, with what to do, when a server cannot be used or another shop runs on the embedded data.
 */
export async function openStorage({ config, names, masterKey, shop, log, settings, died }: StorageOptions): Promise<Storage> {
  const connections = new Map<string, Connection>();
  const replicas = new Map<string, Connection>();
  for (const name of names) {
    const own = config.databases[name];
    if (own !== undefined) connections.set(name, connectionFrom(own, variableOf(name, "DATABASE_URL")));
    const replica = config.replicas[name];
    if (replica !== undefined) replicas.set(name, connectionFrom(replica, variableOf(name, "DATABASE_REPLICA_URL")));
  }
  const rest = names.filter((name) => !connections.has(name));
  const nothing = async () => undefined;
  if (rest.length === 0) return { connections, replicas, embedded: undefined, release: nothing, stop: nothing };

  if (config.databaseUrl !== undefined) {
    const server = connectionFrom(config.databaseUrl, "KONTOR_DATABASE_URL");
    const made = await provision(server, rest, masterKey, { shared: true, prefix: config.namespace });
    const replica = config.replicaUrl === undefined ? undefined : connectionFrom(config.replicaUrl, "KONTOR_DATABASE_REPLICA_URL");
    for (const [name, connection] of made) {
      connections.set(name, connection);
      // The same role and database, on the other server.
      if (replica !== undefined && !replicas.has(name)) {
        const { user, password, database } = connection;
        replicas.set(name, { ...replica, user, password, database });
      }
    }
    return { connections, replicas, embedded: undefined, release: nothing, stop: nothing };
  }

  if (shop && existsSync(join(config.data, movedFile)))
    throw new Error(
      `the shop in ${config.data} was moved to a server (${join(config.data, movedFile)} says when): set KONTOR_DATABASE_URL, or delete that file to continue with this copy`,
    );
  const postgres = await startEmbeddedPostgres({
    folder: config.data,
    log: log.child({ service: "postgres" }),
    died,
    settings: { ...settings, ...settingsIn(config.postgresSettings) },
  });
  let inUse = true;
  try {
    const lock = shop ? await acquireInstallationLock(postgres.superuser) : undefined;
    inUse = shop && lock === undefined;
    if (inUse)
      throw new InstallationInUse(
        `a shop is running on ${config.data} already; stop it first, or set KONTOR_DATA to another folder for this one`,
      );
    for (const [name, connection] of await provision(postgres.superuser, rest, masterKey)) connections.set(name, connection);
    return {
      connections,
      replicas,
      embedded: postgres,
      release: async () => lock?.release(),
      stop: () => (shop ? postgres.stop() : stopUnlessShopRuns(postgres)),
    };
  } catch (error) {
    if (!postgres.adopted || (shop && !inUse)) await postgres.stop();
    throw error;
  }
}

/** "a=1;b=2", as the configuration has checked it. */
function settingsIn(text = ""): Record<string, string> {
  const pairs = text.split(";").filter((pair) => pair !== "");
  return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)]));
}

/** An adopted PostgreSQL belongs to the shop that runs on it, and one that this process started may have been adopted by a shop since. */
async function stopUnlessShopRuns(postgres: EmbeddedPostgres): Promise<void> {
  if (postgres.adopted) return postgres.leave();
  const lock = await acquireInstallationLock(postgres.superuser);
  if (lock === undefined) return postgres.leave();
  await lock.release();
  await postgres.stop();
}
