import assert from "node:assert/strict";
import { test } from "node:test";
import { checkReadOnly } from "./check-read-only.ts";
import { sql } from "./sql.ts";

test("a query that only reads passes, also when its columns, texts and names contain words of writing", () => {
  for (const query of [
    sql`select id, updated_at, "update", 'please delete' as words from things where id = ${1}`,
    sql`with recursive tree as (select id from categories where id = ${"a"} union all select c.id from categories c join tree on c.parent = tree.id) select * from tree`,
    sql`select created_at, locked, call_count from things order by inserted`,
  ])
    for (let again = 0; again < 2; again++) assert.equal(checkReadOnly(query), query);
});

test("a query that writes or locks throws each time, wherever it does so", () => {
  const part = sql`insert into things values (${1}) returning id`;
  for (const query of [
    sql`update things set n = 1`,
    sql`with made as (${part}) select * from made`,
    sql`select * from things for update`,
    sql`select * from things for no key update of things`,
    sql`select * from things for key share`,
    sql`select nextval('numbers')`,
    sql`select pg_notify('a', 'b')`,
    sql`select pg_advisory_xact_lock(1)`,
    sql`DELETE from things`,
  ])
    for (let again = 0; again < 2; again++) assert.throws(() => checkReadOnly(query), /reads must not write or lock/);
});
