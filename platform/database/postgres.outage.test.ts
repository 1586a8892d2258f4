import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "node:test";
import { outcomeUnknown, refusalIn } from "../errors/refusal.ts";
import { controlEngine } from "../testing/engines.ts";
import { engineReplica, openEngineDatabase } from "./open-test-server-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

const clients = 16;

test("R12: PostgreSQL is killed under concurrent writes and comes back: no acknowledged row is lost, none is there twice", async () => {
  const { connection, replica } = await openEngineDatabase();
  // The standby is tried first each time, and accepts no writes.
  const { host, port } = engineReplica();
  const hosts = { ...connection, host, port, others: [connection] };
  const { database, logged, budget } = await openTestDatabase({ connection: hosts, replica });
  await database.run(sql`create table orders (key text primary key, client int not null, n int not null)`);
  let received = 0;
  const end = await database.listen("back", () => received++);
  const acknowledged: string[] = [];
  const errors = new Map<string, number>();
  let running = true;
  let lastMs = 0;
  let unknowns = 0;

  /** Once, and in one statement or a transaction by turns: a repeat with the same key does nothing. */
  const write = async (client: number, n: number): Promise<void> => {
    const insert = sql`insert into orders values (${`${client}/${n}`}, ${client}, ${n}) on conflict (key) do nothing`;
    if (n % 2 === 0) await database.run(insert);
    else await database.transaction(async (tx) => void (await tx.run(insert)));
  };
  const work = Array.from({ length: clients }, async (_, client) => {
    for (let n = 0; running; n++)
      for (let done = false; !done;)
        try {
          await write(client, n);
          acknowledged.push(`${client}/${n}`);
          lastMs = performance.now();
          done = true;
        } catch (error) {
          const { reason = String(error) } = refusalIn(error) ?? {};
          errors.set(reason, (errors.get(reason) ?? 0) + 1);
          assert.ok(outcomeUnknown(error));
          unknowns++;
          if (!running) return;
          await sleep(20);
        }
  });
  const enough = async (count: number): Promise<void> => {
    const target = acknowledged.length + count;
    while (acknowledged.length < target) await sleep(5);
  };
  await enough(500);
  for (const pauseMs of [0, 2_000]) {
    const heard = received;
    await controlEngine("kill", "postgres-primary");
    const killedMs = performance.now();
    await sleep(pauseMs);
    assert.ok(lastMs < killedMs + 1_000, "something was acknowledged by a server that is dead");
    await controlEngine("start", "postgres-primary");
    const openMs = performance.now();
    await enough(clients);
    assert.ok(performance.now() - openMs < 5_000, `${performance.now() - openMs} ms until traffic was back`);
    // The listener is back too, and has said that it may have missed something.
    while (received === heard) await sleep(5);
    await enough(500);
  }
  running = false;
  await Promise.all(work);
  const rows = await database.rows<{ key: string }>(sql`select key from orders`);
  const stored = new Set(rows.map(({ key }) => key));
  const lost = acknowledged.filter((key) => !stored.has(key));
  assert.deepEqual(lost, []);
  assert.equal(new Set(acknowledged).size, acknowledged.length);
  // What is there and was not acknowledged is what was under way at the very end.
  assert.ok(rows.length - acknowledged.length <= clients);
  assert.ok(unknowns > 0);
  assert.deepEqual(
    [...errors.keys()].filter((reason) => reason !== "DEPENDENCY_UNAVAILABLE" && reason !== "OVERLOADED"),
    [],
  );
  const before = received;
  await database.notify("back");
  while (received === before) await sleep(5);
  for (const line of new Set(logged))
    assert.ok(
      logged.filter((other) => other === line).length <= 2,
      `said ${logged.filter((other) => other === line).length} times: ${line}`,
    );
  await end();
  await database.stop();
  assert.deepEqual([budget.figures("requests").open, budget.figures("background").open], [0, 0]);
});
