import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import type pg from "pg";
import { afterTests } from "../testing/postgres.ts";
import { createConnectionBudget } from "./connection-budget.ts";
import { connectClient } from "./client.ts";
import type { Connection } from "./connection.ts";
import type { Database } from "./database.ts";
import { engineReplica, onServer, openEngineDatabase } from "./open-test-server-database.ts";
import type { EngineDatabase } from "./open-test-server-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

let engine: EngineDatabase;
before(async () => {
  engine = await openEngineDatabase();
});

const unavailable = (error: unknown): boolean => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE";
const causes = (error: unknown): string => (error instanceof Error ? `${error.message}\n${causes(error.cause)}` : "");

/** Takes a transaction's connection, which is new when the others are closed. */
const onceAgain = (database: Database): Promise<unknown> => database.transaction((tx) => tx.run(sql`select 1`));

describe("several hosts", () => {
  const inOrder = (...hosts: readonly Pick<Connection, "host" | "port">[]): Connection => ({
    ...engine.connection,
    ...hosts[0]!,
    others: hosts.slice(1),
  });

  test("the one that accepts writes is found behind an unreachable one and a standby", async () => {
    const unreachable = { host: "127.0.0.1", port: 1 };
    const { database, logged } = await openTestDatabase({ connection: inOrder(unreachable, engineReplica(), engine.connection) });
    await database.run(sql`create table found (id int)`);
    await Promise.all(Array.from({ length: 20 }, (_, at) => database.transaction((tx) => tx.run(sql`insert into found values (${at})`))));
    const { pid } = await database.one<{ pid: number }>(sql`select pg_backend_pid() as pid`);
    await onServer(engine.superuser, `select pg_terminate_backend(${pid}, 5000)`);
    await database.run(sql`select 1`).catch((error: unknown) => assert.ok(unavailable(error)));
    assert.deepEqual(await database.one(sql`select count(*)::int as count from found`), { count: 20 });
    assert.deepEqual(logged, []);
  });

  test("a standby alone is refused by name, and gets no statement", async () => {
    const { database } = await openTestDatabase({ connection: engine.replica });
    await assert.rejects(database.start(), (error) => unavailable(error) && /accepts no writes/.test(causes(error)));
  });

  test("a server that stops accepting writes is left: what it rejects is unavailable, and the next statement goes to another", async () => {
    const { database } = await openTestDatabase({ connection: engine.connection });
    const { user } = engine.connection;
    await database.run(sql`create table turned (id int)`);
    // As a server does that is made a standby without a restart: its sessions are notified.
    await database.run(sql`set default_transaction_read_only = on`);
    assert.equal(await database.run(sql`insert into turned values (1)`), 1);
    await onServer(engine.superuser, `alter role ${user} set default_transaction_read_only = on`);
    await assert.rejects(onceAgain(database), (error) => unavailable(error) && /accepts no writes/.test(causes(error)));
    await onServer(engine.superuser, `alter role ${user} reset default_transaction_read_only`);
    await database.start();
    assert.equal(await database.run(sql`insert into turned values (2)`), 1);
  });
});

describe("a server with other settings", () => {
  test("gets the settings that statements rely on with each session", async () => {
    const { user } = engine.connection;
    await onServer(
      engine.superuser,
      `alter role ${user} set jit = on; alter role ${user} set random_page_cost = 4; alter role ${user} set timezone = 'Asia/Tokyo'`,
    );
    await onServer(
      engine.superuser,
      `alter role ${user} set default_transaction_isolation = 'serializable'; alter role ${user} set datestyle = 'german'`,
    );
    const { database } = await openTestDatabase({ connection: engine.connection });
    const names = [
      "jit",
      "random_page_cost",
      "max_parallel_workers_per_gather",
      "TimeZone",
      "DateStyle",
      "transaction_isolation",
      "statement_timeout",
      "lock_timeout",
      "idle_in_transaction_session_timeout",
      "idle_session_timeout",
      "bytea_output",
      "default_text_search_config",
    ];
    const rows = await database.rows<{ name: string; value: string }>(
      sql`select name, current_setting(name) as value from unnest(${names}::text[]) name`,
    );
    assert.deepEqual(Object.fromEntries(rows.map(({ name, value }) => [name, value])), {
      jit: "off",
      random_page_cost: "1.1",
      max_parallel_workers_per_gather: "0",
      TimeZone: "UTC",
      DateStyle: "ISO, YMD",
      transaction_isolation: "read committed",
      statement_timeout: "5s",
      lock_timeout: "5s",
      idle_in_transaction_session_timeout: "10s",
      idle_session_timeout: "0",
      bytea_output: "hex",
      default_text_search_config: "pg_catalog.simple",
    });
  });
});

test("DAT-08: 500 concurrent requests on a real primary and its replica never exceed the pool, and leave no connection behind", async () => {
  const { connection, replica, superuser } = await openEngineDatabase();
  const budget = createConnectionBudget({ connections: 12, background: 3, waitMs: 20_000 });
  const { database } = await openTestDatabase({ connection, replica, budget, name: "pool" });
  await database.run(sql`create table things (id int)`);
  const open = async (client: pg.Client): Promise<number> => {
    const { rows } = await client.query<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity where usename = '${connection.user}'`,
    );
    return rows[0]!.count;
  };
  const primary = await connectClient(superuser);
  const standby = await connectClient({ ...engineReplica(), database: connection.database });
  afterTests(() => Promise.all([primary.end(), standby.end()]).then(() => undefined));
  const both = async (): Promise<number> => (await Promise.all([open(primary), open(standby)])).reduce((sum, count) => sum + count);
  let running = true;
  const most = (async () => {
    let max = 0;
    while (running) max = Math.max(max, await both());
    return max;
  })();
  const work = Array.from({ length: 500 }, async (_, at) => {
    await database.transaction((tx) => tx.run(sql`insert into things values (${at})`), { pool: at % 5 === 0 ? "background" : "requests" });
    await database.reads().rows(sql`select * from things limit 5`);
    await database.run(sql`insert into things values (${-at})`);
  });
  await Promise.all(work);
  running = false;
  assert.ok((await most) <= 12, `${await most} connections`);
  assert.deepEqual(await database.one(sql`select count(*)::int as count from things`), { count: 1000 });
  assert.deepEqual(database.figures(), { transactions: 0, statements: 0 });
  await database.stop();
  for (const pool of ["requests", "background"] as const) assert.equal(budget.figures(pool).open, 0);
  assert.equal(await both(), 0);
});
