import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import { engineReplica, onServer } from "../database/open-test-server-database.ts";
import type { EngineDatabase } from "../database/open-test-server-database.ts";
import { sql } from "../database/sql.ts";

/** Resolves once reads go to the database's replica. */
export async function untilReplicaReads(database: Database): Promise<void> {
  const query = sql`select pg_is_in_recovery() as standby`;
  for (const deadline = Date.now() + 10_000; !(await database.reads().one<{ standby: boolean }>(query)).standby; await sleep(10))
    if (Date.now() > deadline) throw new Error("the replica does not respond");
}

/**
 * How often each server has read and written a table, by its own statistics. A session reports about once a second while it works, and when it
 * ends, so the figures are read until they no longer change.
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
