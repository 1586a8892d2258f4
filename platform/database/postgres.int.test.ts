import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { sqlState } from "./database.ts";
import type { Transaction } from "./database.ts";
import { forbidInTransaction } from "./in-transaction.ts";
import { openTestDatabase } from "./open-test-database.ts";
import type { OpenTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";
import { StatementError } from "./statement-error.ts";

let open: OpenTestDatabase;

before(async () => {
  open = await openTestDatabase();
  await open.database.run(sql`create table things (id int primary key, name text)`);
});

describe("single statements", () => {
  test("values come back as `Queries` promises", async () => {
    const row = await open.database.one(sql`
      select ${5n}::bigint as big, ${"1.50"}::numeric as exact, ${new Date(1_700_000_000_123)}::timestamptz as at, ${Buffer.from([0, 255])}::bytea as bytes,
        ${{ a: [1, null] }}::jsonb as json, ${["x", 'y"']}::text[] as texts, ${[1n, 2n]}::bigint[] as bigs, ${null}::text as nothing, true as yes,
        7::int as int, 1.5::float8 as float, '5'::xid8 as xid, date '2026-01-31' as day, 'infinity'::timestamptz as never`);
    assert.deepEqual(row, {
      big: 5n,
      exact: "1.50",
      at: new Date(1_700_000_000_123),
      bytes: Buffer.from([0, 255]),
      json: { a: [1, null] },
      texts: ["x", 'y"'],
      bigs: [1n, 2n],
      nothing: null,
      yes: true,
      int: 7,
      float: 1.5,
      xid: "5",
      day: "2026-01-31",
      never: Infinity,
    });
  });

  test("rows, maybe, one and run check the number of rows", async () => {
    const { database } = open;
    assert.equal(await database.run(sql`insert into things values (101, 'a'), (102, 'b')`), 2);
    assert.equal((await database.rows(sql`select * from things where id > 100`)).length, 2);
    assert.deepEqual(await database.maybe(sql`select name from things where id = ${101}`), { name: "a" });
    assert.equal(await database.maybe(sql`select name from things where id = ${199}`), undefined);
    await assert.rejects(database.one(sql`select name from things where id = ${199}`), /0 rows where one was expected: select name/);
    await assert.rejects(database.maybe(sql`select name from things where id > 100`), /2 rows where at most one was expected/);
    assert.equal(await database.run(sql`delete from things where id > 100`), 2);
    assert.equal(await database.run(sql`delete from things where id > 100`), 0);
  });

  test("one that fails in the pipeline does not affect its neighbours", async () => {
    const { database } = open;
    const number = (value: number) => database.one<{ value: number }>(sql`select ${1}::int / ${value}::int as value`);
    const results = await Promise.allSettled([
      number(1),
      number(0),
      database.run(sql`selct`),
      number(1),
      database.run(sql`select * from nowhere`),
      number(1),
    ]);
    assert.deepEqual(
      results.map((result) => (result.status === "fulfilled" ? "ok" : sqlState(result.reason))),
      ["ok", "22012", "42601", "ok", "42P01", "ok"],
    );
  });

  test("equal statements behind one that cannot be parsed all get its error, and work once they can be", async () => {
    const { database } = open;
    const read = () => database.rows(sql`select * from later`);
    const results = await Promise.allSettled([read(), read(), read()]);
    assert.deepEqual(
      results.map((result) => (result.status === "rejected" ? sqlState(result.reason) : "ok")),
      ["42P01", "42P01", "42P01"],
    );
    await Promise.allSettled([read(), read(), database.run(sql`create table later (a int)`), read(), read()]);
    assert.deepEqual(await Promise.all([read(), read()]), [[], []]);
  });

  test("a value that cannot be sent fails alone, and its statement works afterwards", async () => {
    const { database } = open;
    const echo = (value: unknown) => database.one(sql`select ${value}::jsonb as value`);
    const results = await Promise.allSettled([echo({ a: 1 }), echo({ a: 1n }), echo({ a: 2 })]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "fulfilled"],
    );
    assert.deepEqual(await echo({ a: 3 }), { value: { a: 3 } });
  });

  test("each text is prepared once, and stays usable when its table changes", async () => {
    const { database } = open;
    await database.run(sql`create table growing (a int)`);
    await database.run(sql`insert into growing values (1)`);
    const read = () => database.rows(sql`select * from growing`);
    for (let round = 0; round < 3; round++) assert.deepEqual(await Promise.all([read(), read()]), [[{ a: 1 }], [{ a: 1 }]]);
    const prepared = await database.one<{ count: number }>(
      sql`select count(*)::int as count from pg_prepared_statements where statement = 'select * from growing'`,
    );
    assert.equal(prepared.count, 1);
    await database.run(sql`alter table growing add column b text default 'x'`);
    assert.deepEqual(await Promise.all([read(), read()]), [[{ a: 1, b: "x" }], [{ a: 1, b: "x" }]]);
    // The same in a transaction is the refusal that clients repeat.
    const inside = () => database.transaction((tx) => tx.rows(sql`select * from growing`));
    await inside();
    await database.run(sql`alter table growing drop column b`);
    await assert.rejects(inside(), (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE");
    assert.deepEqual(await inside(), [{ a: 1 }]);
  });

  test("a constraint error is a fault with its code and the statement's text, never the values", async () => {
    const { database } = open;
    const insert = () => database.run(sql`insert into things (id, name) values (${201}, ${"ada@example.org"})`);
    await insert();
    await assert.rejects(insert(), (error) => {
      assert.ok(error instanceof StatementError);
      assert.equal(sqlState(error), "23505");
      assert.equal(error.constraint, "things_pkey");
      assert.match(error.message, /in: insert into things \(id, name\) values \(\$1, \$2\)/);
      assert.doesNotMatch(JSON.stringify(error) + error.message + String(error.stack), /ada@|201/);
      return true;
    });
    await assert.rejects(
      database.run(sql`select ${"secret"}::int`),
      (error) => sqlState(error) === "22P02" && !String(error).includes("secret"),
    );
  });
});

describe("transactions", () => {
  const names = (from: number) =>
    open.database
      .rows<{ name: string }>(sql`select name from things where id between ${from} and ${from + 9} order by id`)
      .then((rows) => rows.map((row) => row.name));

  test("commit with the result, and hooks run after the commit and outside of it", async () => {
    const { database } = open;
    const order: string[] = [];
    const result = await database.transaction(async (tx) => {
      tx.afterCommit(() => {
        forbidInTransaction("a call");
        order.push("hook");
      });
      await tx.run(sql`insert into things values (301, 'a')`);
      assert.deepEqual(await names(301), []);
      order.push("work");
      return "result";
    });
    assert.equal(result, "result");
    assert.deepEqual(order, ["work", "hook"]);
    assert.deepEqual(await names(301), ["a"]);
    assert.equal(await database.transaction(async () => "without a statement"), "without a statement");
  });

  test("roll back when the work throws, with its error, and no hook runs", async () => {
    const { database } = open;
    const mine = new Error("mine");
    await assert.rejects(
      database.transaction(async (tx) => {
        tx.afterCommit(() => assert.fail("it was rolled back"));
        await tx.run(sql`insert into things values (311, 'a')`);
        throw mine;
      }),
      (error) => error === mine,
    );
    assert.deepEqual(await names(311), []);
    assert.equal(database.figures().transactions, 0);
  });

  test("a hook that throws is logged, and the caller gets the result", async () => {
    const result = await open.database.transaction(async (tx) => {
      tx.afterCommit(() => {
        throw new Error("hook");
      });
      return 1;
    });
    assert.equal(result, 1);
    assert.deepEqual(open.logged, ["a hook failed after its transaction had committed"]);
  });

  test("the first statement's error rolls back all, and one that was overlooked fails the commit", async () => {
    const { database } = open;
    await assert.rejects(
      database.transaction((tx) => tx.run(sql`insert into nowhere values (1)`)),
      (error) => sqlState(error) === "42P01",
    );
    await assert.rejects(
      database.transaction(async (tx) => {
        await tx.run(sql`insert into things values (321, 'a')`);
        await tx.run(sql`select 1 / 0`).catch((error: unknown) => assert.equal(sqlState(error), "22012"));
      }),
      (error) => sqlState(error) === "22012",
    );
    assert.deepEqual(await names(321), []);
  });

  test("the last statement is committed with the rest, and alone where it is the only one", async () => {
    const { database } = open;
    const hooks: string[] = [];
    await database.transaction(async (tx) => {
      tx.afterCommit(() => hooks.push("hook"));
      tx.last(sql`insert into things values (441, 'alone')`);
      assert.deepEqual(await names(441), []);
    });
    await database.transaction(async (tx) => {
      await tx.run(sql`insert into things values (442, 'first')`);
      tx.last(sql`insert into things select 443, name || ' and last' from things where id = 442`);
      await assert.rejects(tx.run(sql`select 1`), /after the last one/);
    });
    assert.deepEqual(await names(441), ["alone", "first", "first and last"]);
    assert.deepEqual(hooks, ["hook"]);
    await database.transaction(async (tx) => {
      await tx.savepoint(async () => assert.throws(() => tx.last(sql`select`), /savepoint/));
    });
  });

  test("a last statement that fails rolls back all, with the first error", async () => {
    const { database } = open;
    const first = sql`insert into things values (451, 'a')`;
    const fails = (code: string | RegExp, work: (tx: Transaction) => Promise<void>) =>
      assert.rejects(database.transaction(work), (error: Error) =>
        typeof code === "string" ? sqlState(error) === code : code.test(error.message),
      );
    await fails("22012", async (tx) => tx.last(sql`with made as (insert into things values (451, 'a')) select 1 / 0`));
    await fails("22012", async (tx) => {
      await tx.run(first);
      tx.last(sql`select 1 / 0`);
    });
    // The overlooked one fails while the last one and the commit are on their way.
    await fails("42P01", async (tx) => {
      await tx.run(first);
      tx.run(sql`insert into nowhere values (1)`).catch(() => undefined);
      tx.last(sql`insert into things values (452, 'b')`);
    });
    await fails(/Parameter \$1/, async (tx) => {
      await tx.run(first);
      tx.last(sql`select ${() => 1}::text`);
    });
    await fails(/Parameter \$1/, async (tx) => tx.last(sql`select ${() => 1}::text`));
    assert.deepEqual(await names(451), []);
    assert.equal(database.figures().transactions, 0);
  });

  test("a value that cannot be sent does not lose the begin", async () => {
    await assert.rejects(
      open.database.transaction(async (tx) => {
        await assert.rejects(tx.run(sql`select ${1n}::int, ${() => 1}::text`), /Parameter \$2/);
        await tx.run(sql`insert into things values (331, 'a')`);
        throw new Error("undo");
      }),
      /undo/,
    );
    assert.deepEqual(await names(331), []);
  });

  test("are read committed whatever the server's default is, and a nested one is refused", async () => {
    const { database } = open;
    await database.transaction(async (tx) => {
      assert.deepEqual(await tx.one(sql`show transaction_isolation`), { transaction_isolation: "read committed" });
      await assert.rejects(
        database.transaction(async () => 1),
        /a transaction of test while a transaction of test is open/,
      );
      await assert.rejects(database.notify("c"), /a notification of test while a transaction/);
      assert.throws(() => forbidInTransaction("an rpc"), /an rpc while a transaction of test is open/);
    });
    forbidInTransaction("an rpc");
  });

  test("a savepoint rolls back its own writes only, also inside another", async () => {
    await open.database.transaction(async (tx) => {
      await tx.savepoint(async () => {
        await tx.run(sql`insert into things values (341, 'a')`);
        await assert.rejects(
          tx.savepoint(async () => {
            await tx.run(sql`insert into things values (342, 'b')`);
            await tx.run(sql`insert into things values (341, 'again')`);
          }),
          (error) => sqlState(error) === "23505",
        );
        await tx.run(sql`insert into things values (343, 'c')`);
      });
      await assert.rejects(
        tx.savepoint(async () => {
          await tx.run(sql`insert into things values (344, 'd')`);
          throw new Error("mine");
        }),
        /mine/,
      );
      await tx.run(sql`insert into things values (345, 'e')`);
    });
    assert.deepEqual(await names(341), ["a", "c", "e"]);
  });

  test("nothing runs in one that has ended", async () => {
    let kept: Parameters<Parameters<typeof open.database.transaction>[0]>[0] | undefined;
    await open.database.transaction(async (tx) => {
      kept = tx;
    });
    await assert.rejects(kept!.run(sql`select 1`), /has ended/);
  });

  test("a time limit past five seconds is refused", async () => {
    await assert.rejects(
      open.database.transaction(async () => 1, { timeoutMs: 5_001 }),
      RangeError,
    );
  });

  test("one of a single statement costs two round trips: begin goes with it", async () => {
    const { database } = open;
    const seen = await database.transaction((tx) => tx.one<{ same: boolean }>(sql`select now() = statement_timestamp() as same`));
    assert.equal(typeof seen.same, "boolean");
    await assert.rejects(
      database.transaction((tx) => tx.run(sql`insert into things values (351, 'a'), (351, 'b')`)),
      (error) => sqlState(error) === "23505",
    );
    assert.deepEqual(await names(351), []);
  });
});
