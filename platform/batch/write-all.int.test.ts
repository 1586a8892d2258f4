import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { sql } from "../database/sql.ts";
import { call, openTestLog } from "../events/log/open-test-log.ts";
import type { TestLog } from "../events/log/open-test-log.ts";
import { counted } from "../events/test-events.ts";
import { writeAll, writeAllIn } from "./write-all.ts";
import type { Writing, WriteSeams } from "./write-all.ts";

describe("writing many things at once", () => {
  let open: TestLog;
  let woken = 0;
  let seams: WriteSeams;
  before(async () => {
    open = await openTestLog();
    const tasks = { addSql: () => assert.fail("there are no tasks"), wake: () => assert.fail("there are no tasks") };
    seams = { events: { appendSql: open.log.appendSql, wake: () => void woken++ }, tasks };
  });

  /** Inserts things, each with an event of the version after the given one. */
  const inserting = (things: readonly (readonly [id: string, version: number])[]): Writing => ({
    state: sql`insert into things (id, amount) select id, 1 from unnest(${things.map(([id]) => id)}::text[]) as new (id)
      on conflict do nothing returning id`,
    streams: things.map(([stream, expectedVersion]) => ({ stream, expectedVersion, events: [counted(1)] })),
    call,
  });
  const stored = async (ids: readonly string[]) => {
    const things = await open.database.rows<{ id: string }>(sql`select id from things where id = any(${ids}::text[]) order by id`);
    const events = await open.database.rows<{ stream: string }>(
      sql`select stream from events where stream = any(${ids}::text[]) order by stream`,
    );
    return [things.map(({ id }) => id), events.map(({ stream }) => stream)];
  };

  it("gives the ids of what it wrote; what was there already gets no event, and when that is all, nobody is woken", async () => {
    const needs = { ...seams, database: open.database };
    const two = inserting([
      ["a", 0],
      ["b", 0],
    ]);
    assert.deepEqual(await writeAll(needs, two), new Set(["a", "b"]));
    const before = woken;
    assert.deepEqual(await writeAll(needs, two), new Set());
    assert.equal(woken, before);
    assert.deepEqual(
      await writeAll(
        needs,
        inserting([
          ["b", 0],
          ["c", 0],
        ]),
      ),
      new Set(["c"]),
    );
    assert.equal(woken, before + 1);
    assert.deepEqual(await stored(["a", "b", "c"]), [
      ["a", "b", "c"],
      ["a", "b", "c"],
    ]);
  });

  it("writes nothing at all when the events of one thing are not at the version of its row", async () => {
    const needs = { ...seams, database: open.database };
    const before = woken;
    await assert.rejects(
      writeAll(
        needs,
        inserting([
          ["d", 0],
          ["e", 7],
        ]),
      ),
      { code: "22012" },
    );
    await open.database.transaction((tx) => open.append(tx, "f", 0, 1));
    await assert.rejects(
      writeAll(
        needs,
        inserting([
          ["d", 0],
          ["f", 0],
        ]),
      ),
      { code: "23505" },
    );
    assert.deepEqual(await stored(["d", "e", "f"]), [[], ["f"]]);
    assert.equal(woken, before);
  });

  it("inside a transaction, wakes after its commit and not after its rollback", async () => {
    const before = woken;
    const failing = open.database.transaction(async (tx) => {
      assert.deepEqual(await writeAllIn(tx, seams, inserting([["g", 0]])), new Set(["g"]));
      throw new Error("rolled back");
    });
    await assert.rejects(failing, /rolled back/);
    assert.deepEqual(await stored(["g"]), [[], []]);
    assert.equal(woken, before);
    await open.database.transaction(async (tx) => {
      await writeAllIn(tx, seams, inserting([["g", 0]]));
      assert.equal(woken, before);
    });
    assert.equal(woken, before + 1);
    assert.deepEqual(await stored(["g"]), [["g"], ["g"]]);
  });
});
