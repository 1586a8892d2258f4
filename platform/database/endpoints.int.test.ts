import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import { connectClient } from "./client.ts";
import { sqlState } from "./database.ts";
import { migrate } from "./migrate.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

const causes = (error: unknown): string => (error instanceof Error ? `${error.message}\n${causes(error.cause)}` : "");

describe("connecting to a database", () => {
  test("SEC-05: required TLS is never skipped: a server without it is refused, with what to do", async () => {
    const { connection } = await openTestDatabase();
    for (const tls of ["require", "verify-ca", "verify-full"] as const) {
      const { database } = await openTestDatabase({ connection: { ...connection, host: "127.0.0.1", tls } });
      await assert.rejects(database.start(), (error) => {
        assert.equal(refusalIn(error)?.reason, "DEPENDENCY_UNAVAILABLE");
        assert.match(
          causes(error),
          /PostgreSQL at 127\.0\.0\.1:\d+ has no TLS, .*: switch it on there, or allow that with sslmode=disable/,
        );
        return true;
      });
    }
  });

  test("skips unreachable hosts, for services and for administration", async () => {
    const { connection } = await openTestDatabase();
    const several = { ...connection, host: "127.0.0.1", port: 1, others: [connection] };
    const { database, logged } = await openTestDatabase({ connection: several });
    assert.deepEqual(await database.transaction((tx) => tx.one(sql`select 1 as n`)), { n: 1 });
    assert.deepEqual(logged, []);
    const client = await connectClient(several);
    await client.end();
    const { database: lost } = await openTestDatabase({ connection: { ...several, others: [{ host: "127.0.0.1", port: 2 }] } });
    await assert.rejects(lost.start(), (error) => /none of 127\.0\.0\.1:1, 127\.0\.0\.1:2 accepts the connection/.test(causes(error)));
  });

  test("reads the password for each connection; one that stays wrong is unavailable, because it may be in rotation", async () => {
    const { connection } = await openTestDatabase();
    let reads = 0;
    let password = connection.password as string;
    const given = async (): Promise<string> => {
      reads++;
      return password;
    };
    const { database } = await openTestDatabase({ connection: { ...connection, host: "127.0.0.1", password: given } });
    await database.run(sql`select 1`);
    await database.transaction((tx) => tx.run(sql`select 1`));
    assert.equal(reads, 2);
    await database.stop();
    password = "wrong";
    await assert.rejects(database.start(), (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE" && sqlState(error) === "28P01");
    assert.ok(reads > 3);
    password = connection.password as string;
    await database.start();
  });

  test("an outage is one line in the log, and its end another", async () => {
    const { connection } = await openTestDatabase();
    let failing = true;
    const password = async (): Promise<string> => {
      if (failing) throw new Error("the vault is sealed");
      return connection.password as string;
    };
    const { database, logged } = await openTestDatabase({ connection: { ...connection, password } });
    for (let tries = 0; tries < 5; tries++) await assert.rejects(database.run(sql`select 1`));
    failing = false;
    await database.run(sql`select 1`);
    assert.deepEqual(logged, ["the database cannot be reached"]);
  });
});

describe("reads", () => {
  test("without a replica run on the database itself, and refuse statements that write", async () => {
    const { database } = await openTestDatabase();
    await database.run(sql`create table things (id int)`);
    assert.equal(database.replicaLagMs, 0);
    database.changed("things");
    assert.deepEqual(await database.reads("things").rows(sql`select * from things`), []);
    assert.equal(await database.reads().maybe(sql`select * from things`), undefined);
    assert.deepEqual(await database.reads().one(sql`select count(*)::int as count from things`), { count: 0 });
    await assert.rejects(database.reads().rows(sql`insert into things values (1) returning id`), /reads must not write or lock/);
    await database.stop();
    assert.throws(
      () => database.reads(),
      (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE",
    );
  });
});

test("DAT-07: a migration waits for another process's migration without limit, and for locks in use five seconds", async () => {
  const { database } = await openTestDatabase();
  const limit = sql`select current_setting('lock_timeout') as lock, current_setting('statement_timeout') as statement`;
  assert.deepEqual(await database.maintenance((tx) => tx.one(limit)), { lock: "0", statement: "0" });
  assert.deepEqual(await database.one(limit), { lock: "5s", statement: "5s" });
  await migrate(database, []);
});
