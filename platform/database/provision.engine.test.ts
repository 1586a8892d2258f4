import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import { afterTests } from "../testing/postgres.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";
import { idempotencyMigrations, migrate } from "./migrate.ts";
import { engineServer, onServer } from "./open-test-server-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { extensions, provision } from "./provision.ts";
import { sql } from "./sql.ts";

const mark = randomBytes(4).toString("hex");
const services = ["orders", "payments", "catalog"].map((name) => `${name}_${mark}`);
const key = randomBytes(32);
const names = services.map((service) => `kontor_${service}`);
let administrator: Awaited<ReturnType<typeof role>>;
let given: Map<string, Connection>;

/** A role of the test's own on the server, with these rights. It goes after the tests, and with it the databases in `made`. */
async function role(rights: string): Promise<Connection & { readonly made: string[] }> {
  const user = `admin_${randomBytes(4).toString("hex")}`;
  const password = randomBytes(12).toString("hex");
  const made: string[] = [];
  await onServer(
    engineServer(),
    `create role ${user} login password '${password}' ${rights}; grant connect on database postgres to ${user}`,
  );
  afterTests(async () => {
    for (const name of made) await onServer(engineServer(), `drop database if exists ${name} with (force)`);
    await onServer(engineServer(), `drop owned by ${user}; drop role ${user}`);
  });
  return { ...engineServer(), user, password, made };
}

const connectionOf = (nth: number): Connection => given.get(services[nth]!)!;

const refused = (connection: Connection, statement = "select 1"): Promise<void> =>
  assert.rejects(onServer(connection, statement), (error) => sqlState(error) === "42501", statement);

before(async () => {
  administrator = await role("createdb createrole");
  administrator.made.push(...names);
  afterTests(async () => {
    for (const name of names) await onServer(engineServer(), `drop role if exists ${name}`);
  });
  // As five processes that start at once.
  const all = await Promise.all([1, 2, 3, 4, 5].map(() => provision(administrator, services, key, { shared: true })));
  given = all[0]!;
  for (const other of all) assert.deepEqual(other, given);
});

describe("DAT-01: on a real server, by an administrator who is no superuser", () => {
  test("each service's role connects to its own database and to no other service's", async () => {
    for (const [nth, service] of services.entries()) {
      const [row] = await onServer(connectionOf(nth), "select current_database()::text as name, current_user::text as role");
      assert.deepEqual(row, { name: `kontor_${service}`, role: `kontor_${service}` });
      for (const other of names.filter((name) => name !== names[nth])) await refused({ ...connectionOf(nth), database: other });
    }
  });

  test("the role makes tables in its own database and has no more rights than that", async () => {
    for (const statement of [
      "create role other",
      "create database other",
      "create schema other",
      "alter system set fsync = off",
      "alter role postgres login",
    ])
      await assert.rejects(onServer(connectionOf(0), statement), (error) => ["42501", "42704"].includes(sqlState(error) ?? ""), statement);
    const { database } = await openTestDatabase({ connection: connectionOf(0) });
    await database.run(sql`create table things (name text)`);
    await database.run(sql`create index on things using gin (name gin_trgm_ops)`);
    assert.deepEqual(await database.rows(sql`select unaccent('é') as plain`), [{ plain: "e" }]);
    const collation = await onServer(
      connectionOf(0),
      "select datcollate, pg_encoding_to_char(encoding) as encoding from pg_database where datname = current_database()",
    );
    assert.deepEqual(collation, [{ datcollate: "C", encoding: "UTF8" }]);
  });

  test("what the server's other databases allow stays as it is", async () => {
    assert.deepEqual(await onServer(engineServer(), `select 1 from pg_extension where extname = any ('{${extensions.join()}}')`), []);
  });

  test("a repeat changes nothing, and another key changes the passwords", async () => {
    assert.deepEqual(await provision(administrator, services, key, { shared: true }), given);
    await onServer(connectionOf(1), "create table kept (name text); insert into kept values ('a')");
    const other = await provision(administrator, services, randomBytes(32), { shared: true });
    await assert.rejects(onServer(connectionOf(1), "select 1"), (error) => sqlState(error) === "28P01");
    assert.deepEqual(await onServer(other.get(services[1]!)!, "select * from kept"), [{ name: "a" }]);
    await provision(administrator, services, key, { shared: true });
    assert.deepEqual(await onServer(connectionOf(1), "select * from kept"), [{ name: "a" }]);
  });

  test("missing rights of the administrator are named, with the statement that grants them", async () => {
    const wanted = [`other_${mark}`];
    const provisioned = async (rights: string) => provision(await role(rights), wanted, key, { shared: true });
    await assert.rejects(
      provisioned("createrole"),
      /may not make databases and roles on .*: have a superuser run {2}alter role "admin_\w+" createdb$/,
    );
    await assert.rejects(provisioned("createdb"), /alter role "admin_\w+" createrole$/);
    await assert.rejects(provisioned(""), /alter role "admin_\w+" createdb createrole$/);
    const stranger = await role("createdb createrole");
    await onServer(engineServer(), `comment on database ${names[2]} is null`);
    await assert.rejects(provision(stranger, [services[2]!], key, { shared: true }), /made by somebody else; give it to admin_/);
    await provision(administrator, services, key, { shared: true });
  });
});

describe("DAT-01: a database that was made by hand", () => {
  /** Owned by a role without rights, or only lent to it. */
  async function byHand(owned: boolean): Promise<Connection> {
    const own = await role("");
    const database = `hand_${randomBytes(4).toString("hex")}`;
    await onServer(engineServer(), `create database ${database} ${owned ? `owner ${own.user}` : ""} template template0 encoding 'UTF8'`);
    own.made.push(database);
    return { ...own, database };
  }

  test("works for its owner, who is no superuser; several processes start on it at once", async () => {
    const connection = await byHand(true);
    const processes = await Promise.all([1, 2, 3, 4].map(() => openTestDatabase({ connection })));
    await Promise.all(processes.map(({ database }) => migrate(database, [idempotencyMigrations])));
    const found = await onServer(connection, "select extname from pg_extension where extname <> 'plpgsql' order by extname");
    assert.deepEqual(
      found.map(({ extname }) => extname),
      extensions.toSorted(),
    );
    assert.deepEqual(await onServer(connection, "select count(*)::int as count from migrations"), [{ count: 1 }]);
  });

  test("that is not the role's is refused with what its owner has to run, and works when that was done", async () => {
    const connection = await byHand(false);
    const { database } = await openTestDatabase({ connection });
    const owner = { ...engineServer(), database: connection.database };
    await assert.rejects(migrate(database, [idempotencyMigrations]), (error: Error) =>
      error.message.endsWith(`have its owner run  grant usage, create on schema public to "${connection.user}"`),
    );
    await onServer(owner, `grant usage, create on schema public to ${connection.user}`);
    await assert.rejects(
      migrate(database, [idempotencyMigrations]),
      /lacks the extension pg_trgm: have its owner .*run {2}create extension pg_trgm/,
    );
    for (const extension of extensions) await onServer(owner, `create extension ${extension}`);
    await migrate(database, [idempotencyMigrations]);
  });

  test("in another encoding is refused", async () => {
    const own = await role("");
    const name = `hand_${randomBytes(4).toString("hex")}`;
    await onServer(engineServer(), `create database ${name} owner ${own.user} template template0 encoding 'SQL_ASCII' locale 'C'`);
    own.made.push(name);
    const { database } = await openTestDatabase({ connection: { ...own, database: name } });
    await assert.rejects(migrate(database, []), /has the encoding SQL_ASCII/);
  });
});
