import type { Registry } from "@bufbuild/protobuf";
import type { Cache } from "../cache/cache.ts";
import { createMemoryCache } from "../cache/memory.ts";
import { createUnsharedCache } from "../cache/unshared.ts";
import { systemClock } from "../clock/clock.ts";
import type { Clock } from "../clock/clock.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import type { Connection } from "../database/connection.ts";
import { migrate } from "../database/migrate.ts";
import { openDatabase } from "../database/postgres.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { createWakeups } from "../events/wakeups.ts";
import { createIds } from "../ids/ids.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Clients } from "../rpc/rpc.ts";
import { hostService, platformMigrations } from "../service/host-service.ts";
import type { HostedService } from "../service/host-service.ts";
import type { ServiceDefinition } from "../service/service.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests } from "./postgres.ts";

export interface TestReplicaOptions {
  /** All contracts. */
  readonly registry: Registry;
  /** The database that all replicas share. */
  readonly connection: Connection;
  /** The database's read replica. */
  readonly replica?: Connection;
  /** By default one that shares nothing with other replicas. */
  readonly cache?: Cache;
  /** The system's by default. */
  readonly clock?: Clock;
  /** By default warnings and errors are printed. */
  readonly log?: Logger;
}

export interface TestReplica {
  readonly hosted: HostedService;
  readonly database: PostgresDatabase;
  clientsFor(caller: string): Clients;
  /** Called after the tests. Safe to repeat. */
  stop(): Promise<void>;
}

/**
 * A replica of a service as a process of its own would run it, with its own connections to the database, which it migrates. It applies no
 * events and runs no tasks, and has no mail.
 */
export async function openTestReplica(definition: ServiceDefinition, options: TestReplicaOptions): Promise<TestReplica> {
  const { registry, connection, replica, clock = systemClock, log = loud } = options;
  const { name } = definition;
  const budget = createConnectionBudget({ connections: 8, background: 2 });
  const database = openDatabase({ name, connection, ...(replica && { replica }), budget, log });
  const own = definition.migrations === undefined ? [] : [{ scope: name, folder: definition.migrations }];
  await migrate(database, [...platformMigrations, ...own]);
  const rpc = createInProcessRpc({ log, freeze: true });
  const hosted = await hostService(definition, {
    database,
    rpc,
    wakeups: createWakeups({ log }),
    cache: options.cache ?? createUnsharedCache(createMemoryCache({ maxEntries: 1 })),
    mail: { send: async () => undefined },
    clock,
    ids: createIds(clock),
    config: {
      publicUrl: "http://shop.test",
      shopName: "Test Shop",
      host: "localhost",
      masterKey: new Uint8Array(32).fill(7),
    },
    registry,
    log,
  });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await hosted.service.stop?.();
    await hosted.log.stop();
    await rpc.stop();
    await database.stop();
  };
  afterTests(() => (stopped ??= stop()));
  await hosted.log.start();
  await hosted.service.start?.();
  return { hosted, database, clientsFor: (caller) => rpc.clientsFor(caller), stop: () => (stopped ??= stop()) };
}

const loud: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => loud,
};
