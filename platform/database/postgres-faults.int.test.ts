import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { createConnectionBudget } from "./connection-budget.ts";
import { sqlState } from "./database.ts";
import { outsideTransaction } from "./in-transaction.ts";
import { backend, observed, unavailable } from "./open-test-observed-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

describe("a lost connection", () => {
  test("fails its statements as unavailable, and the next statement gets a new one", async () => {
    const { database, terminate } = await observed();
    const pid = await backend(database);
    const asleep = [database.run(sql`select pg_sleep(5)`), database.run(sql`select 1`)].map((answer) =>
      assert.rejects(answer, unavailable),
    );
    await terminate(pid);
    await Promise.all(asleep);
    assert.notEqual(await backend(database), pid);
    assert.equal(database.figures().statements, 0);
  });

  test("in a transaction rolls it back, with the error of the loss, and frees its connection in the pool", async () => {
    const { database, budget, terminate } = await observed();
    await database.run(sql`create table things (id int)`);
    await assert.rejects(
      database.transaction(async (tx) => {
        await tx.run(sql`insert into things values (1)`);
        await terminate(await backend(tx));
        await tx.run(sql`insert into things values (2)`);
      }),
      unavailable,
    );
    assert.deepEqual(await database.transaction((tx) => tx.rows(sql`select * from things`)), []);
    assert.ok(budget.figures("requests").open <= 3);
  });

  test("while unused does not fail the next transaction", async () => {
    const { database, terminate } = await observed();
    const pid = await database.transaction(backend);
    await terminate(pid);
    // The server has closed it; the event for that is handled after this response.
    await database.run(sql`select 1`);
    assert.notEqual(await database.transaction(backend), pid);
  });

  test("an unreachable server is a refusal, also at start", async () => {
    const { connection } = await openTestDatabase();
    const { database } = await openTestDatabase({ connection: { ...connection, host: "127.0.0.1", port: 1 } });
    await assert.rejects(database.start(), unavailable);
    await assert.rejects(
      database.transaction((tx) => tx.run(sql`select 1`)),
      unavailable,
    );
    await assert.rejects(
      database.listen("c", () => undefined),
      unavailable,
    );
    const { database: nameless } = await openTestDatabase({ connection: { ...connection, database: "no_such_database" } });
    await assert.rejects(nameless.start(), (error) => sqlState(error) === "3D000" && refusalIn(error) === undefined);
  });
});

describe("listening", () => {
  /** Collects notifications, and gives them one by one. */
  function collector() {
    const received: (string | undefined)[] = [];
    let wake: (() => void) | undefined;
    return {
      hear: (payload: string | undefined) => {
        received.push(payload);
        wake?.();
      },
      next: async () => {
        while (received.length === 0) await new Promise<void>((resolve) => (wake = resolve));
        return received.shift();
      },
    };
  }

  test("receives notifications, each on its own channel, until it ends", async () => {
    const { database, observer } = await observed();
    const [a, b, again] = [collector(), collector(), collector()];
    const [endA] = await Promise.all([database.listen("a", a.hear), database.listen('b"x', b.hear), database.listen("a", again.hear)]);
    await observer.notify("a", "1");
    await observer.notify('b"x');
    assert.deepEqual([await a.next(), await b.next(), await again.next()], ["1", "", "1"]);
    await endA();
    await observer.notify("a", "2");
    await observer.notify('b"x', "3");
    assert.deepEqual([await again.next(), await b.next()], ["2", "3"]);
    const sessions = await observer.one<{ count: number }>(
      sql`select count(*)::int as count from pg_stat_activity where datname = current_database() and query like '%listen "%'`,
    );
    assert.equal(sessions.count, 1);
  });

  test("goes on elsewhere while a statement on its connection waits for a lock", async () => {
    const { database, observer, waiting } = await observed();
    const a = collector();
    const end = await database.listen("a", a.hear);
    let stalled: Promise<number> | undefined;
    await observer.transaction(async (tx) => {
      await tx.run(sql`select pg_advisory_xact_lock(7)`);
      stalled = database.run(sql`select pg_advisory_xact_lock(7)`);
      await waiting(1);
      // What was sent until it listens elsewhere arrives late; that there may be something is heard at once.
      assert.equal(await a.next(), undefined);
      await outsideTransaction(() => observer.notify("a", "meanwhile"));
      assert.equal(await a.next(), "meanwhile");
    });
    await stalled;
    await end();
  });

  test("reconnects after a loss, and reports that notifications may have been missed", async () => {
    const { database, observer, terminate, logged } = await observed();
    const a = collector();
    const end = await database.listen("a", a.hear);
    const { pid } = await observer.one<{ pid: number }>(
      sql`select pid from pg_stat_activity where query like 'listen "%' and datname = current_database()`,
    );
    await terminate(pid);
    assert.equal(await a.next(), undefined);
    await observer.notify("a", "after");
    assert.equal(await a.next(), "after");
    assert.deepEqual(logged, ["the listen connection was lost"]);
    await end();
    await end();
  });
});

describe("stopping", () => {
  test("waits for what is under way, refuses later work, and leaves no connection; stopping twice is fine", async () => {
    const { database, budget, observer } = await observed();
    await database.run(sql`create table things (id int)`);
    await database.listen("a", () => undefined);
    let stopped: Promise<void> | undefined;
    const statement = database.run(sql`insert into things select 2 from pg_sleep(0.05)`);
    await database.transaction(async (tx) => {
      await tx.run(sql`insert into things values (1)`);
      stopped = database.stop();
      await assert.rejects(database.run(sql`select 1`), unavailable);
      await tx.run(sql`insert into things values (1)`);
    });
    await statement;
    await Promise.all([stopped, database.stop()]);
    assert.equal((await observer.rows(sql`select * from things`)).length, 3);
    assert.deepEqual([budget.figures("requests").open, budget.figures("background").open], [0, 0]);
    await assert.rejects(
      database.transaction(async () => 1),
      unavailable,
    );
    await database.start();
    assert.equal((await database.rows(sql`select * from things`)).length, 3);
  });
});

describe("pools", () => {
  test("DAT-08: background work has connections that requests cannot take", async () => {
    const budget = createConnectionBudget({ connections: 6, background: 2, waitMs: 200 });
    const { database } = await openTestDatabase({ budget });
    const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
    const hold = (pool: "requests" | "background", count: number) =>
      Array.from({ length: count }, () => database.transaction(async (tx) => tx.run(sql`select 1`).then(() => held), { pool }));
    const requests = hold("requests", 4);
    while (budget.figures("requests").open < 4 || database.figures().transactions < 4) await new Promise(setImmediate);
    const overloaded = (error: unknown) =>
      refusalIn(error)?.reason === "OVERLOADED" && refusalIn(error)?.code === "unavailable" && refusalIn(error)!.retryAfterMs! > 0;
    await assert.rejects(
      database.transaction(async () => 1),
      overloaded,
    );
    const background = hold("background", 2);
    await assert.rejects(
      database.transaction(async () => 1, { pool: "background" }),
      overloaded,
    );
    letGo();
    await Promise.all([...requests, ...background]);
  });
});
