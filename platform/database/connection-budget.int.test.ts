import assert from "node:assert/strict";
import { test } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { connectionsMin, createConnectionBudget } from "./connection-budget.ts";
import type { Database } from "./database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

const letOthersRun = () => new Promise(setImmediate);

/** So many transactions that are open at the same time. */
async function allInside(database: Database, count: number): Promise<void> {
  const all = Promise.withResolvers<void>();
  let inside = 0;
  const enter = async () => {
    if (++inside === count) all.resolve();
    await all.promise;
  };
  await Promise.all(Array.from({ length: count }, () => database.transaction((tx) => tx.run(sql`select 1`).then(enter))));
}

test("DAT-08: 500 concurrent transactions over several databases never exceed the pool and leave no connection behind", async () => {
  const budget = createConnectionBudget({ connections: 10, background: 3, idleMs: 200, waitMs: 30_000 });
  const first = await openTestDatabase({ name: "first", budget });
  const second = await openTestDatabase({ name: "second", budget });
  const { database: observer } = await openTestDatabase({ name: "observer", connection: first.connection });
  const ours = async () =>
    (
      await observer.one<{ count: number }>(sql`
      select count(*)::int as count from pg_stat_activity
      where application_name in ('kontor first', 'kontor second') and datname in (${first.connection.database}, ${second.connection.database})`)
    ).count;
  let running = true;
  const most = (async () => {
    let max = 0;
    while (running) max = Math.max(max, await ours());
    return max;
  })();
  const work = Array.from({ length: 500 }, (_, at) =>
    (at % 2 === 0 ? first : second).database.transaction((tx) => tx.one<{ at: number }>(sql`select ${at}::int as at`), {
      pool: at % 5 === 0 ? "background" : "requests",
    }),
  );
  const singles = Array.from({ length: 100 }, (_, at) => second.database.one<{ at: number }>(sql`select ${at}::int as at`));
  assert.deepEqual(
    (await Promise.all(work)).map(({ at }) => at),
    work.map((_, at) => at),
  );
  await Promise.all(singles);
  running = false;
  assert.ok((await most) <= 10, `${await most} connections`);
  for (const { database } of [first, second]) assert.deepEqual(database.figures(), { transactions: 0, statements: 0 });
  for (const pool of ["requests", "background"] as const) assert.equal(budget.figures(pool).waiting, 0);
  // Unused ones are closed by themselves; the two for single statements stay open longer.
  while (budget.figures("requests").open > 2 || budget.figures("background").open > 0) await letOthersRun();
  assert.equal(budget.figures("requests").idle, 0);
});

test("a database's unused connections, the one for single statements too, make room for another that waits", async () => {
  const budget = createConnectionBudget({ connections: 4, background: 1, waitMs: 5_000 });
  const first = await openTestDatabase({ name: "first", budget });
  const second = await openTestDatabase({ name: "second", budget });
  await first.database.run(sql`select 1`);
  await allInside(first.database, 2);
  assert.equal(budget.figures("requests").open, 3);
  await allInside(second.database, 3);
  assert.equal((await first.database.rows(sql`select 1`)).length, 1);
});

test("waiters are served in order of arrival, and a full queue refuses at once", async () => {
  const budget = createConnectionBudget({ connections: 3, background: 1, waitingMax: 5, waitMs: 5_000 });
  const { database } = await openTestDatabase({ budget });
  const served: number[] = [];
  const results = await Promise.allSettled(
    Array.from({ length: 8 }, (_, at) =>
      database.transaction(
        async (tx) => {
          served.push(at);
          await tx.run(sql`select 1`);
        },
        { pool: "background" },
      ),
    ),
  );
  assert.deepEqual(served, [0, 1, 2, 3, 4, 5]);
  const refused = results.flatMap((result) => (result.status === "rejected" ? [refusalIn(result.reason)?.reason] : []));
  assert.deepEqual(refused, ["OVERLOADED", "OVERLOADED"]);
  assert.throws(() => createConnectionBudget({ connections: 2, background: 1 }), RangeError);
});

test("DAT-08: with the minimum of connections, databases keep theirs instead of taking them from each other", async () => {
  const count = 6;
  const connections = connectionsMin(count);
  const budget = createConnectionBudget({ connections, background: Math.ceil(connections * 0.3), waitMs: 10_000 });
  const first = await openTestDatabase({ name: "0", budget });
  const { connection } = first;
  const databases = [first.database];
  while (databases.length < count)
    databases.push((await openTestDatabase({ name: String(databases.length), budget, connection })).database);
  const received: string[] = [];
  for (const database of databases) await database.listen("c", (payload) => received.push(`${database.name} ${payload}`));
  const read = (at: number) => databases[at]!.one<{ at: number }>(sql`select ${at}::int as at`);
  const change = (at: number) => databases[at]!.transaction((tx) => tx.one(sql`select 1 as one`));
  const client = async () => {
    for (let order = 0; order < 25; order++) {
      for (let at = 0; at < count; at++) assert.equal((await read(at)).at, at);
      await change(0);
      await change(order % 2 === 0 ? 1 : 2);
    }
  };
  await Promise.all(Array.from({ length: 12 }, client));
  await first.database.notify("c", "x");
  while (received.length < count) await letOthersRun();
  await Promise.all(databases.map((database) => database.stop()));
  const { database: observer } = await openTestDatabase({ name: "observer", connection });
  // A session is counted when it ends at the latest, a moment later than its client sees that.
  const ended = () =>
    observer.one<{ count: number }>(sql`select sessions::int as count from pg_stat_database where datname = current_database()`);
  let opened = 0;
  while (opened < count) opened = (await ended()).count;
  assert.ok(opened < 150, `${opened} connections were opened for 600 transactions`);
});
