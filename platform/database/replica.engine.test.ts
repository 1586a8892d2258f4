import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { afterTests } from "../testing/postgres.ts";
import { createConnectionBudget } from "./connection-budget.ts";
import type { Connection } from "./connection.ts";
import { engineReplica, engineServer, onServer } from "./open-test-server-database.ts";
import { isReplica, openReplicated, replicaServes } from "./open-test-replicated-database.ts";
import { openDatabase } from "./postgres.ts";
import { sql } from "./sql.ts";

/** How many rows each server of a database has given to queries, by its own count. */
async function tuples(connection: Connection, name: string): Promise<{ read: number; written: number }> {
  const [row] = await onServer(
    { ...connection, database: "postgres" },
    `select coalesce(pg_stat_get_db_tuples_fetched(oid) + pg_stat_get_db_tuples_returned(oid), 0)::int as read,
       (pg_stat_get_db_tuples_inserted(oid) + pg_stat_get_db_tuples_updated(oid))::int as written from pg_database where datname = '${name}'`,
  );
  return row as { read: number; written: number };
}

describe("CON-04: a replica", () => {
  test("serves reads, and nothing else goes there", async () => {
    const { database, connection } = await openReplicated();
    await database.run(sql`insert into things select id, 0 from generate_series(2, 2000) id`);
    database.changed("things");
    await replicaServes(database, "things");
    const before = {
      primary: await tuples(engineServer(), connection.database),
      replica: await tuples(engineReplica(), connection.database),
    };
    for (let round = 0; round < 50; round++)
      assert.equal((await database.reads("things").rows(sql`select * from things where n = ${0}`)).length, 2000);
    await database.transaction((tx) => tx.run(sql`update things set n = 1 where id <= 100`));
    // A server writes its counts down when the session that they are of has been quiet for a second, or ends.
    await database.stop();
    const read = async (server: Connection, from: { read: number }) => (await tuples(server, connection.database)).read - from.read;
    const deadline = Date.now() + 5_000;
    while ((await read(engineReplica(), before.replica)) < 100_000) {
      assert.ok(Date.now() < deadline, "the replica has not been read");
      await sleep(50);
    }
    assert.ok((await read(engineServer(), before.primary)) < 20_000);
    assert.equal((await tuples(engineReplica(), connection.database)).written, 0);
  });

  test("clients read their own writes: what was announced as changed is read from the primary until the replica has it", async () => {
    const { database } = await openReplicated();
    await replicaServes(database);
    let onReplica = 0;
    for (let n = 1; n <= 300; n++) {
      await database.transaction((tx) => tx.run(sql`update things set n = ${n} where id = 1`));
      database.changed("thing 1");
      const { n: seen } = await database.reads("thing 1").one<{ n: number }>(sql`select n from things where id = 1`);
      assert.equal(seen, n);
      // Others are not kept from it.
      if (await isReplica(database.reads("thing 2"))) onReplica++;
    }
    assert.ok(onReplica > 250, `${onReplica} of 300 on the replica`);
    await replicaServes(database, "thing 1");
  });

  test("that is lost, unreachable or no replica disturbs nothing: reads go to the primary, and one line says so", async () => {
    const { database, replica, lines, connection, superuser } = await openReplicated();
    await replicaServes(database);
    let running = true;
    const readers = Array.from({ length: 8 }, async () => {
      while (running) assert.equal((await database.reads().rows(sql`select * from things`)).length, 1);
    });
    const others = { ...engineReplica(), database: replica.database };
    await onServer(others, `select pg_terminate_backend(pid, 1000) from pg_stat_activity where usename = '${connection.user}'`);
    await sleep(50);
    running = false;
    await Promise.all(readers);
    await replicaServes(database);
    // None, when all connections noticed the end in time.
    assert.ok(lines.length <= 2, lines.join());
    for (const line of lines) assert.match(line, /^the replica (cannot be read from; reads go to the primary|can be read from again)$/);
    for (const wrong of [{ ...replica, port: 1 }, connection, { ...replica, password: "wrong" }]) {
      const received: string[] = [];
      const note = (_: unknown, line: string) => void received.push(line);
      const log = { debug: note, info: note, warn: note, error: note, child: () => log };
      const other = openDatabase({
        name: "other",
        connection,
        replica: wrong,
        budget: createConnectionBudget({ connections: 6, background: 1 }),
        log,
      });
      afterTests(() => other.stop());
      const until = Date.now() + 500;
      while (Date.now() < until) {
        assert.equal(await isReplica(other.reads()), false);
        await sleep(10);
      }
      assert.deepEqual(received, ["the replica cannot be read from; reads go to the primary"]);
      await other.stop();
    }
    const left = await onServer(superuser, "select from pg_stat_activity where application_name like 'kontor other%'");
    assert.deepEqual(left, []);
  });

  test("that rejects a statement because it conflicts with what it replays leaves it to the primary", async () => {
    const { database, replica, lines } = await openReplicated();
    await replicaServes(database);
    const reading = database
      .reads()
      .rows<{ n: number }>(sql`select things.n, pg_is_in_recovery() as standby, pg_sleep(0.4)::text from things`);
    const [sleeper] = await waitFor(() =>
      onServer(
        { ...engineReplica(), database: replica.database },
        "select pid from pg_stat_activity where query like '%pg_sleep(0.4)%' and pid <> pg_backend_pid()",
      ),
    );
    await onServer({ ...engineReplica(), database: replica.database }, `select pg_cancel_backend(${String(sleeper!["pid"])})`);
    assert.deepEqual(
      (await reading).map((row) => ({ ...row })),
      [{ n: 0, standby: false, pg_sleep: "" }],
    );
    assert.deepEqual(lines, []);
  });
});

test("DAT-09: the primary knows its replica, and the replica replays", async () => {
  const rows = await onServer(engineServer(), "select state, replay_lsn is not null as replays from pg_stat_replication");
  assert.deepEqual(rows, [{ state: "streaming", replays: true }]);
});

async function waitFor<T>(look: () => Promise<T[]>): Promise<T[]> {
  for (const deadline = Date.now() + 5_000; ;) {
    const found = await look();
    if (found.length > 0) return found;
    assert.ok(Date.now() < deadline);
  }
}
