import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, test } from "node:test";
import pg from "pg";
import { afterTests, testDatabase } from "../testing/postgres.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";
import { provision } from "./provision.ts";

const mark = randomBytes(4).toString("hex");
const services = [`orders_${mark}`, `payments_${mark}`];
const key = randomBytes(32);
let superuser: Connection;
let given: Map<string, Connection>;

before(async () => {
  superuser = { ...(await testDatabase()).connection, database: "postgres" };
  given = await provision(superuser, services, key);
  afterTests(async () => {
    for (const service of services)
      for (const statement of ["database if exists", "role if exists"]) await rows(superuser, `drop ${statement} kontor_${service}`);
  });
});

test("DAT-01: a service's role cannot connect to another's database", async () => {
  const [orders, payments] = services.map(connectionOf);
  assert.ok(orders !== undefined && payments !== undefined);
  await refused({ ...orders, database: payments.database });
  await refused({ ...payments, database: orders.database });
  await refused({ ...orders, database: "postgres" });
  await refused({ ...orders, database: "template1" });
});

test("a role makes tables in its own database and has no more rights than that", async () => {
  const orders = connectionOf(services[0]!);
  await rows(orders, "create table things (name text); create index on things using gin (name gin_trgm_ops)");
  for (const statement of ["create role other", "create database other", "create schema other", "alter system set fsync = off"])
    await assert.rejects(rows(orders, statement), (error) => sqlState(error) === "42501", statement);
});

test("a role's statements and open transactions have limits", async () => {
  const limits = await rows(
    connectionOf(services[0]!),
    "select name, setting || unit as value from pg_settings where name in ('statement_timeout', 'idle_in_transaction_session_timeout') order by name",
  );
  assert.deepEqual(limits, [
    { name: "idle_in_transaction_session_timeout", value: "5000ms" },
    { name: "statement_timeout", value: "10000ms" },
  ]);
});

test("a repeat gives the same connections and changes nothing; another key changes the passwords", async () => {
  assert.deepEqual(await provision(superuser, services, key), given);
  const orders = connectionOf(services[0]!);
  await rows(orders, "create table kept (name text); insert into kept values ('a')");
  const other = await provision(superuser, services, randomBytes(32));
  await assert.rejects(rows(orders, "select 1"), (error) => sqlState(error) === "28P01");
  assert.deepEqual(await rows(other.get(services[0]!)!, "select * from kept"), [{ name: "a" }]);
  await provision(superuser, services, key);
  assert.deepEqual(await rows(orders, "select * from kept"), [{ name: "a" }]);
});

test("databases of a start that was killed are completed", async () => {
  const orders = connectionOf(services[0]!);
  await rows(superuser, `comment on database ${orders.database} is null; grant connect on database ${orders.database} to public`);
  await provision(superuser, services, key);
  await refused({ ...connectionOf(services[1]!), database: orders.database });
});

function connectionOf(service: string): Connection {
  const connection = given.get(service);
  assert.ok(connection !== undefined);
  return connection;
}

async function refused(connection: Connection): Promise<void> {
  await assert.rejects(rows(connection, "select 1"), (error) => sqlState(error) === "42501");
}

async function rows(connection: Connection, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ ...connection });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}
