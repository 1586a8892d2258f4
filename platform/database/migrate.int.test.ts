import assert from "node:assert/strict";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { afterTests } from "../testing/postgres.ts";
import { sqlState } from "./database.ts";
import { idempotencyMigrations, migrate } from "./migrate.ts";
import type { MigrationSet } from "./migrate.ts";
import { openTestDatabase } from "./open-test-database.ts";
import type { PostgresDatabase } from "./postgres.ts";
import { sql } from "./sql.ts";

/** A set of migrations on disk, with a function that writes one of its files. */
async function writtenSet(scope: string, files: Readonly<Record<string, string>>) {
  const path = await mkdtemp(join(tmpdir(), "kontor-migrations-"));
  afterTests(() => rm(path, { recursive: true }));
  const write = (name: string, text: string) => writeFile(join(path, name), text);
  for (const [name, text] of Object.entries(files)) await write(name, text);
  const set: MigrationSet = { scope, folder: pathToFileURL(`${path}/`) };
  return { set, write, rename: (from: string, to: string) => rename(join(path, from), join(path, to)) };
}

const applied = (database: PostgresDatabase) =>
  database
    .rows<{ name: string }>(sql`select scope || '/' || name as name from migrations order by at, scope, number`)
    .then((rows) => rows.map(({ name }) => name));

const first = "create table a (id int primary key);\ninsert into a values (1); -- ; a comment\ncreate index on a (id);";
const second = "alter table a add column b text default 'é';";

test("DAT-07: from empty and from each earlier state up is clean, and repeating changes nothing", async () => {
  const { database } = await openTestDatabase();
  const { set, write } = await writtenSet("things", { "0001-a.sql": first });
  const { set: other } = await writtenSet("others", { "0001-x.sql": "create table x ()" });
  await migrate(database, [set]);
  await write("0002-b.sql", second);
  await migrate(database, [other, set, idempotencyMigrations]);
  const before = await database.rows(sql`select * from migrations order by scope, number`);
  await migrate(database, [other, set, idempotencyMigrations]);
  assert.deepEqual(await database.rows(sql`select * from migrations order by scope, number`), before);
  assert.deepEqual(await applied(database), [
    "things/0001-a.sql",
    "others/0001-x.sql",
    "things/0002-b.sql",
    "idempotency/0001-idempotency-keys.sql",
  ]);
  assert.deepEqual(await database.rows(sql`select * from a`), [{ id: 1, b: "é" }]);
});

test("DAT-07: a database that is ahead of this release is left as it is", async () => {
  const { database } = await openTestDatabase();
  const { set } = await writtenSet("things", { "0001-a.sql": first, "0002-b.sql": second });
  const { set: older } = await writtenSet("things", { "0001-a.sql": first });
  await migrate(database, [set]);
  await migrate(database, [older]);
  assert.equal((await applied(database)).length, 2);
});

test("DAT-07: several processes may start together", async () => {
  const { database, connection } = await openTestDatabase();
  const others = await Promise.all([1, 2, 3].map(() => openTestDatabase({ connection })));
  const { set } = await writtenSet("things", { "0001-a.sql": first, "0002-b.sql": second, "0003-c.sql": "update a set b = 'c'" });
  await Promise.all([database, ...others.map((other) => other.database)].map((each) => migrate(each, [set])));
  assert.deepEqual(await applied(database), ["things/0001-a.sql", "things/0002-b.sql", "things/0003-c.sql"]);
});

test("DAT-07: a changed file, a missing number and a late one stop with an error that names the file", async () => {
  const { database } = await openTestDatabase();
  const { set, write, rename } = await writtenSet("things", { "0001-a.sql": first, "0002-b.sql": second });
  await migrate(database, [set]);
  await write("0001-a.sql", `${first}\n`);
  await assert.rejects(migrate(database, [set]), /0001-a\.sql of things has changed/);
  await write("0001-a.sql", first.replaceAll("\n", "\r\n"));
  await migrate(database, [set]);
  await rename("0002-b.sql", "0003-b.sql");
  await assert.rejects(migrate(database, [set]), /0003-b\.sql of things should be number 0002/);
  await write("0002-B.sql", "select 1");
  await assert.rejects(migrate(database, [set]), /0002-B\.sql of things/);
  await assert.rejects(migrate(database, [set, set]), /same scope/);
  await database.run(sql`delete from migrations where number = 1`);
  const { set: again } = await writtenSet("things", { "0001-a.sql": first, "0002-b.sql": second });
  await assert.rejects(migrate(database, [again]), /0001-a\.sql of things was not applied, but later ones were/);
});

test("DAT-07: one that fails is rolled back, and those before it stay", async () => {
  const { database } = await openTestDatabase();
  const { set, write } = await writtenSet("things", { "0001-a.sql": first, "0002-b.sql": "create table b (); create table a ()" });
  await assert.rejects(
    migrate(database, [set]),
    (error) => /0002-b\.sql of things failed/.test(String(error)) && sqlState(error) === "42P07",
  );
  assert.deepEqual(await applied(database), ["things/0001-a.sql"]);
  assert.deepEqual(await database.rows(sql`select 1 from pg_class where relname = 'b'`), []);
  await write("0002-b.sql", "create table b ()");
  await migrate(database, [set]);
  assert.deepEqual(await applied(database), ["things/0001-a.sql", "things/0002-b.sql"]);
});
