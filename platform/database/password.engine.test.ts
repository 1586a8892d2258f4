import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createConnectionBudget } from "./connection-budget.ts";
import { onServer, openEngineDatabase } from "./open-test-server-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

const letOthersRun = () => new Promise(setImmediate);

test("S25: a role's password is replaced again and again under load, and nothing fails", async () => {
  const { superuser, connection } = await openEngineDatabase();
  let stored = connection.password as string;
  const used = new Set<string>();
  let reads = 0;
  // Connections are closed as soon as they are unused, and there are pauses, so that new ones are made all the time.
  const budget = createConnectionBudget({ connections: 6, background: 1, idleMs: 1 });
  const { database, logged } = await openTestDatabase({
    budget,
    connection: {
      ...connection,
      password: async () => {
        reads++;
        used.add(stored);
        return stored;
      },
    },
  });
  await database.run(sql`create table things (id int)`);
  let running = true;
  let done = 0;
  const clients = Array.from({ length: 8 }, async (_, at) => {
    while (running) {
      await database.transaction((tx) => tx.run(sql`insert into things values (${at})`));
      await database.one(sql`select count(*) from things`);
      done++;
      await new Promise((resolve) => setTimeout(resolve, 20 + at * 10));
    }
  });
  for (let rotation = 0; rotation < 5; rotation++) {
    const next = randomBytes(12).toString("hex");
    await onServer(superuser, `alter role ${connection.user} password '${next}'`);
    // The new one is right, and the old one is tried.
    for (const before = reads; reads === before;) await letOthersRun();
    stored = next;
    const before = done;
    while (done < before + 20 || !used.has(stored)) await letOthersRun();
  }
  running = false;
  await Promise.all(clients);
  assert.deepEqual(await database.one(sql`select count(*)::int as count from things`), { count: done });
  assert.equal(used.size, 6);
  assert.deepEqual(logged, []);
});
