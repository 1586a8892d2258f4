import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, test } from "node:test";
import { sqlState } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import { backend, observed, unavailable } from "./open-test-observed-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";
import { openLossyWay } from "./test-lossy-way.ts";

describe("time limits", () => {
  test("a transaction past its limit is ended, its statement stopped, its locks free", async () => {
    const { database, observer } = await observed();
    await database.run(sql`create table things (id int primary key)`);
    const startMs = performance.now();
    let late: unknown;
    await assert.rejects(
      database.transaction(
        async (tx) => {
          await tx.run(sql`insert into things values (1)`);
          await tx.run(sql`select pg_sleep(4)`).catch((error: unknown) => (late = error));
          await assert.rejects(tx.run(sql`select 1`), unavailable);
        },
        { timeoutMs: 200 },
      ),
      unavailable,
    );
    await observer.run(sql`insert into things values (1)`);
    assert.ok(performance.now() - startMs < 2_000);
    assert.ok(unavailable(late));
    assert.equal(database.figures().transactions, 0);
  });

  test("one whose work waits for something else is ended too", async () => {
    const { database, budget } = await observed();
    const never = new Promise<never>(() => undefined);
    await assert.rejects(
      database.transaction(async (tx) => tx.run(sql`select 1`).then(() => never), { timeoutMs: 150 }),
      unavailable,
    );
    assert.deepEqual([budget.figures("requests").open, budget.figures("requests").idle], [0, 0]);
  });

  test("a lock wait past its limit is unavailable, and so is a deadlock", async () => {
    const { database, observer } = await observed();
    await database.run(sql`create table things (id int primary key, n int default 0)`);
    await database.run(sql`insert into things (id) values (1), (2)`);
    await observer.transaction(async (owner) => {
      await owner.run(sql`update things set n = 1 where id = 1`);
      const blocked = outsideTransaction(() =>
        database.transaction(async (tx) => {
          await tx.run(sql`select set_config('lock_timeout', '50', true)`);
          await tx.run(sql`update things set n = 2 where id = 1`);
        }),
      );
      await assert.rejects(blocked, (error) => unavailable(error) && sqlState(error) === "55P03");
    });
    let first = 0;
    const { promise: bothHaveOne, resolve } = Promise.withResolvers<void>();
    const both = await Promise.allSettled(
      [
        [1, 2],
        [2, 1],
      ].map((ids) =>
        database.transaction(async (tx) => {
          await tx.run(sql`select set_config('deadlock_timeout', '20', true)`);
          await tx.run(sql`update things set n = 3 where id = ${ids[0]}`);
          if (++first === 2) resolve();
          await bothHaveOne;
          await tx.run(sql`update things set n = 3 where id = ${ids[1]}`);
        }),
      ),
    );
    const refused = both.filter((result) => result.status === "rejected");
    assert.equal(refused.length, 1);
    assert.ok(unavailable(refused[0]!.reason) && sqlState(refused[0]!.reason) === "40P01");
  });

  test("a single statement that waits for a lock does not delay later ones", async () => {
    const { database, observer, waiting } = await observed();
    await database.run(sql`create table things (id int primary key, n int)`);
    await database.run(sql`insert into things values (1, 0)`);
    let blocked: Promise<number> | undefined;
    await observer.transaction(async (owner) => {
      await owner.run(sql`update things set n = 1`);
      blocked = database.run(sql`update things set n = n + 1`);
      await waiting(1);
      const deadlineMs = performance.now() + 40;
      while (performance.now() < deadlineMs) await backend(owner);
      assert.equal((await database.rows(sql`select 1`)).length, 1);
      assert.equal(database.figures().statements, 1);
    });
    await blocked;
    assert.deepEqual(await database.one(sql`select n from things`), { n: 2 });
  });

  test("a server that stops responding fails what waits for it", async () => {
    const { connection } = await openTestDatabase();
    const way = await openLossyWay(connection);
    const { database } = await openTestDatabase({ connection: way.connection });
    await database.start();
    await database.transaction((tx) => tx.run(sql`select 1`));
    way.mute();
    await assert.rejects(
      database.transaction((tx) => tx.run(sql`select 1`), { timeoutMs: 200 }),
      unavailable,
    );
    way.unmute();
    assert.equal(await database.transaction((tx) => tx.run(sql`select 1`)), 1);
  });
});
