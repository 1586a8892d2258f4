import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { sql } from "../database/sql.ts";
import { ManualClock } from "../clock/clock.ts";
import { createIds, earliestId } from "../ids/ids.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import { openTestDatabase } from "../testing/postgres.ts";
import { hourMs } from "./retention.ts";
import type { SweptRows } from "./retention.ts";
import { sweep } from "./sweep.ts";
import { Sweeper } from "./sweeper.ts";

const silent = createLogger({ service: "test", level: "silent" });
const at = new Date("2026-03-02T09:00:00Z");
const old: SweptRows = {
  table: "things",
  rows: "old things",
  keptMs: hourMs,
  after: "it was made",
  by: { column: "made_at" },
  where: sql`not wanted`,
  index: "things_made_at",
  why: "nobody wants them",
};

describe("a sweep", () => {
  let database: Awaited<ReturnType<typeof openTestDatabase>>;
  const fill = (count: number, madeAt: Date) =>
    database.run(
      sql`insert into things (id, made_at, wanted) select ${earliestId("tng", madeAt)} || n, ${madeAt}, n % 10 = 0 from generate_series(1, ${count}::int) as n`,
    );
  const left = async () => (await database.one<{ rows: number }>(sql`select count(*)::int as rows from things`)).rows;
  beforeEach(async () => {
    database = await openTestDatabase();
    await database.run(sql`create table things (id text primary key, made_at timestamptz not null, wanted boolean not null)`);
    await database.run(sql`create index things_made_at on things (made_at) where not wanted`);
  });

  it("deletes what is over, and nothing else", async () => {
    await fill(100, new Date(at.getTime() - hourMs - 1));
    await fill(100, new Date(at.getTime() - hourMs));
    assert.equal(await sweep(database, [old, { table: "things", rows: "wanted", stays: "growing", why: "" }], at), false);
    assert.equal(await left(), 110);
  });

  it("finds ids by the time that they were made at", async () => {
    const clock = new ManualClock(new Date(at.getTime() - hourMs - 1));
    const ids = createIds(clock);
    const made = () => database.run(sql`insert into things values (${ids.next("tng")}, ${clock.now()}, false)`);
    await made();
    clock.advance(1);
    await made();
    await sweep(database, [{ ...old, by: { column: "id", idPrefix: "tng" } }], at);
    assert.equal(await left(), 1);
  });

  it("is bounded: what is more is left for the next round", async () => {
    await fill(12_000, new Date(0));
    assert.equal(await sweep(database, [old], at), true);
    assert.equal(await left(), 2_000);
    assert.equal(await sweep(database, [old], at), false);
    assert.equal(await left(), 1_200);
  });

  it("DAT-16: of tables of which one cannot be swept reaches the others, and what is more of them", async () => {
    await fill(12_000, new Date(0));
    const failures: string[] = [];
    const retentions = [{ ...old, table: "gone", rows: "gone things" }, old];
    const sweeping = () => sweep(database, retentions, at, ({ message }) => failures.push(message));
    assert.deepEqual([await sweeping(), await sweeping()], [true, false]);
    assert.equal(await left(), 1_200);
    assert.deepEqual(failures, Array(2).fill("gone things could not be swept, and will be in an hour"));
  });

  it("neither waits for rows that somebody has locked nor deletes them", async () => {
    await fill(9, new Date(0));
    const [locked, swept] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = database.transaction(async (tx) => {
      await tx.run(sql`select from things where id = ${`${earliestId("tng", new Date(0))}1`} for update`);
      locked.resolve();
      await swept.promise;
    });
    await locked.promise;
    await Promise.all([sweep(database, [old], at), sweep(database, [old], at)]);
    assert.equal(await left(), 1);
    swept.resolve();
    await holding;
    await sweep(database, [old], at);
    assert.equal(await left(), 0);
  });

  it("of a database without tasks is made at the start and each hour, and again after a failure", async () => {
    const clock = new ManualClock(at);
    const sweeper = new Sweeper({ database, retentions: [old], clock, log: silent });
    await fill(9, new Date(0));
    sweeper.start();
    while ((await left()) > 0);
    await fill(9, new Date(0));
    clock.advance(hourMs);
    while ((await left()) > 0);
    await sweeper.stop();
    await sweeper.stop();
  });
});
