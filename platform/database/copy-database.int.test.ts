import assert from "node:assert/strict";
import { test } from "node:test";
import { copyDatabase } from "./copy-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

/** A database in which a trigger counts what is inserted, as one that lets two versions run side by side may write rows of its own. */
async function openCounted() {
  const { database, connection } = await openTestDatabase();
  await database.maintenance((tx) =>
    tx.script(`
      create table things (id int primary key);
      create table counts (id int primary key default 1, things int not null);
      insert into counts values (1, 0);
      create function count_thing() returns trigger language plpgsql as
        $$ begin update counts set things = things + 1; return new; end $$;
      create trigger count_thing after insert on things for each row execute function count_thing();
    `),
  );
  return { database, connection };
}

test("DAT-07: a copied database has the rows of its source and none that its triggers make of them; later ones are made", async () => {
  const [source, target] = await Promise.all([openCounted(), openCounted()]);
  await source.database.run(sql`insert into things values (1), (2), (3)`);
  await source.database.run(sql`update counts set things = 10`);
  assert.deepEqual(await copyDatabase(source.connection, target.connection), { counts: 1, things: 3 });
  const counted = () => target.database.one<{ things: number }>(sql`select things from counts`);
  assert.deepEqual(await counted(), { things: 10 });
  await target.database.run(sql`insert into things values (4)`);
  assert.deepEqual(await counted(), { things: 11 });
});
