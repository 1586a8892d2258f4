import { setTimeout as sleep } from "node:timers/promises";
import type { Registry } from "@bufbuild/protobuf";
import type { Cache } from "../cache/cache.ts";
import { systemClock } from "../clock/clock.ts";
import { createBudget } from "../database/budget.ts";
import type { Connection } from "../database/connection.ts";
import { migrate } from "../database/migrate.ts";
import { engineReplica, onServer } from "../database/open-test-server-database.ts";
import type { EngineDatabase } from "../database/open-test-server-database.ts";
import { openDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import { createWakeups } from "../events/wakeups.ts";
import { createIds } from "../ids/ids.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Clients } from "../rpc/rpc.ts";
import { hostService, platformMigrations } from "../service/host-service.ts";
import type { ServiceDefinition } from "../service/service.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests } from "./postgres.ts";

export interface ReplicatedServiceOptions {
  readonly definition: ServiceDefinition;
  readonly registry: Registry;
  readonly engine: EngineDatabase;
  readonly cache: Cache;
}

export interface ReplicatedService {
  clientsFor(caller: string): Clients;
  /** Resolves once the replica answers. */
  replicaAnswers(): Promise<void>;
  /** Happens by itself after the tests. Again is fine. */
  stop(): Promise<void>;
}

/** A process with one service whose database has a replica, both on the real servers. It applies no events and works off no tasks. */
export async function openReplicatedService({ definition, registry, engine, cache }: ReplicatedServiceOptions): Promise<ReplicatedService> {
  const { name } = definition;
  const budget = createBudget({ connections: 8, background: 2 });
  const database = openDatabase({ name, connection: engine.connection, replica: engine.replica, budget, log: quiet });
  const own = definition.migrations === undefined ? [] : [{ scope: name, folder: definition.migrations }];
  await migrate(database, [...platformMigrations, ...own]);
  const rpc = createInProcessRpc({ log: quiet, freeze: true });
  const { log, service } = hostService(definition, {
    database,
    rpc,
    wakeups: createWakeups({ log: quiet }),
    cache,
    mail: { send: async () => undefined },
    clock: systemClock,
    ids: createIds(systemClock),
    config: {
      publicUrl: "http://shop.test",
      shopName: "Test Shop",
      mailFrom: "shop@shop.test",
      masterKey: new Uint8Array(32).fill(7),
      payments: { providerUrl: "", apiKey: "", webhookSecret: "" },
    },
    registry,
    log: quiet,
  });
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await service.stop?.();
    await log.stop();
    await rpc.stop();
    await database.stop();
  };
  afterTests(() => (stopped ??= stop()));
  await log.start();
  await service.start?.();
  return {
    clientsFor: (caller) => rpc.clientsFor(caller),
    replicaAnswers: async () => {
      const where = sql`select pg_is_in_recovery() as standby`;
      for (const deadline = Date.now() + 10_000; !(await database.reads().one<{ standby: boolean }>(where)).standby; await sleep(10))
        if (Date.now() > deadline) throw new Error("the replica does not answer");
    },
    stop: () => (stopped ??= stop()),
  };
}

/**
 * How often each server has read and written a table, by its own count. A session adds to it about once a second while it works, and when it
 * ends, so the figures are asked for until they stand still.
 */
export async function tableUse(engine: EngineDatabase, table: string): Promise<{ primary: TableUse; replica: TableUse }> {
  const standby = { ...engineReplica(), database: engine.connection.database };
  const both = async () => ({ primary: await useOf(engine.superuser, table), replica: await useOf(standby, table) });
  for (let before = await both(); ;) {
    await sleep(1_300);
    const now = await both();
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
}

export interface TableUse {
  readonly reads: number;
  readonly writes: number;
}

async function useOf(connection: Connection, table: string): Promise<TableUse> {
  const [row] = await onServer(
    connection,
    `select (seq_scan + coalesce(idx_scan, 0))::int as reads, (n_tup_ins + n_tup_upd + n_tup_del)::int as writes
     from pg_stat_user_tables where relname = '${table}'`,
  );
  return row as unknown as TableUse;
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
