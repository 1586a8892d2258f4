import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { dayMs, isSwept } from "@kontor/platform/retention/retention.ts";
import { sweep, sweepSql } from "@kontor/platform/retention/sweep.ts";
import { openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { migrationsOf } from "./migrations.ts";
import { retentions } from "./retention.ts";
import { fillersOf } from "./test-rows.ts";

const start = new Date("2026-01-01T00:00:00Z");
const stepDays = 5;
const perStep = 40;

/** How many rows there are of each kind that is swept, and of each table in all. */
async function countRows(database: PostgresDatabase, name: Parameters<typeof fillersOf>[0]): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const entry of retentions.get(name)!) {
    const where = isSwept(entry) ? (entry.where ?? sql`true`) : sql`true`;
    const { rows } = await database.one<{ rows: number }>(sql`select count(*)::int as rows from ${sql.name(entry.table)} where ${where}`);
    counts.set(isSwept(entry) ? `${entry.table}: ${entry.rows}` : entry.table, rows);
  }
  return counts;
}

for (const name of retentions.keys())
  describe(`what becomes of the rows of ${name}`, () => {
    const entries = retentions.get(name)!;
    let database: PostgresDatabase;
    before(async () => void (database = await openTestDatabase({ name, migrations: migrationsOf([name]).get(name)! })));

    it("is declared for every table, and for no other", async () => {
      const tables = await database.rows<{ name: string }>(sql`select tablename as name from pg_tables where schemaname = 'public'`);
      assert.deepEqual([...new Set(entries.map(({ table }) => table))].toSorted(), tables.map((table) => table.name).toSorted());
    });

    it("in a year of a busy shop each table is as large in the end as half a year before, or is meant to grow", async () => {
      const fillers = Object.entries(fillersOf(name));
      let half: Map<string, number> | undefined;
      for (let day = 0; day < 395; day += stepDays) {
        const at = new Date(start.getTime() + day * dayMs);
        for (const [, filler] of fillers) await database.run(filler({ at, count: perStep }));
        while (await sweep(database, entries, at));
        if (day === 210) half = await countRows(database, name);
      }
      const end = await countRows(database, name);
      for (const entry of entries) {
        const kind = isSwept(entry) ? `${entry.table}: ${entry.rows}` : entry.table;
        const [before, after] = [half!.get(kind)!, end.get(kind)!];
        if (isSwept(entry)) assert.ok(after === before && after > 0, `${kind} were ${before} rows and are ${after}`);
        else if (entry.stays !== "bounded")
          assert.ok(after > before, `${kind} is declared as growing, and has ${before} rows and then ${after}`);
        // What is not swept, grows or is held is bounded by something else, and nothing here fills it.
        else if (!entries.some((other) => other.table === entry.table && other !== entry))
          assert.equal(fillersOf(name)[entry.table], undefined);
      }
    });

    it("is found by its index when the table is big", async () => {
      const at = new Date(start.getTime() + 400 * dayMs);
      for (const filler of Object.values(fillersOf(name))) await database.run(filler({ at, count: 10_000 }));
      await database.run(sql`analyze`);
      for (const entry of entries.filter(isSwept)) {
        const plan = JSON.stringify(await database.rows(sql`explain (format json) ${sweepSql(entry, at)}`));
        assert.doesNotMatch(plan, /"Seq Scan"/, entry.rows);
        assert.ok(plan.includes(`"Index Name":"${entry.index}"`), `${entry.rows} of ${entry.table}: ${plan}`);
      }
    });
  });
