import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { afterTests } from "../testing/postgres.ts";
import { createConnectionBudget } from "./connection-budget.ts";
import type { Connection } from "./connection.ts";
import type { Reads } from "./database.ts";
import { openEngineDatabase } from "./open-test-server-database.ts";
import { openDatabase } from "./postgres.ts";
import type { PostgresDatabase } from "./postgres.ts";
import { sql } from "./sql.ts";

/** Whether a replica serves the reads. */
export const isReplica = async (reads: Reads): Promise<boolean> =>
  (await reads.one<{ standby: boolean }>(sql`select pg_is_in_recovery() as standby`)).standby;

/** Resolves once the replica serves reads, within five seconds. */
export async function replicaServes(database: PostgresDatabase, ...keys: string[]): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!(await isReplica(database.reads(...keys)))) {
    assert.ok(Date.now() < deadline, "the replica does not serve reads");
    await sleep(5);
  }
}

/** A database on the real primary, with its replica, and one table with one row. */
export async function openReplicated(options: { replica?: Connection; lagMs?: number } = {}) {
  const engine = await openEngineDatabase();
  const lines: string[] = [];
  const note = (_: unknown, line: string) => void lines.push(line);
  const log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const budget = createConnectionBudget({ connections: 12, background: 2 });
  const database = openDatabase({
    name: "test",
    connection: engine.connection,
    replica: options.replica ?? engine.replica,
    ...(options.lagMs !== undefined && { replicaLagMs: options.lagMs }),
    budget,
    log,
  });
  afterTests(() => database.stop());
  await database.run(sql`create table things (id int primary key, n int not null)`);
  await database.run(sql`insert into things values (1, 0)`);
  return { ...engine, database, budget, lines };
}
