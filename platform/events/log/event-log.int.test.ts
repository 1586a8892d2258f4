import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { sql } from "../../database/sql.ts";
import { refusalIn } from "../../errors/refusal.ts";
import { counted, PlainSchema, renamed } from "../test-events.ts";
import type { Counted } from "../test-events.ts";
import { isVersionTaken } from "../version-taken.ts";
import { call, openTestLog } from "./open-test-log.ts";
import type { TestLog } from "./open-test-log.ts";

const conflict = (error: unknown) => refusalIn(error)?.reason === "VERSION_CONFLICT" && refusalIn(error)?.code === "aborted";

describe("event log", () => {
  let database: TestLog["database"];
  let log: TestLog["log"];
  let append: TestLog["append"];
  let newStream: TestLog["newStream"];

  before(async () => {
    ({ database, log, append, newStream } = await openTestLog());
  });

  it("CON-02: history returns a stream's events as they were recorded, from version 1", async () => {
    const stream = newStream();
    await database.transaction((tx) => log.append(tx, call, [{ stream, expectedVersion: 0, events: [counted(1), renamed("tea")] }]));
    await database.transaction((tx) => append(tx, stream, 2, 3));
    const history = await log.history(database, stream);
    assert.deepEqual(
      history.map(({ version, type }) => [version, type]),
      [
        [1, "test.thing.counted"],
        [2, "test.thing.renamed"],
        [3, "test.thing.counted"],
      ],
    );
    assert.deepEqual(history.map(({ actor, correlation, at }) => [actor, correlation, at.toISOString()])[0], [
      "usr_1",
      call.correlation,
      "2026-03-01T09:00:00.000Z",
    ]);
    assert.equal((history[2]!.data as Counted).amount, 3);
    assert.deepEqual(await log.history(database, "nothing"), []);
  });

  it("refuses a version that is taken, a gap, and one stale version among many streams: nothing is recorded then", async () => {
    const [stream, other] = [newStream(), newStream()];
    await database.transaction((tx) => append(tx, stream, 0, 1, 2));
    for (const expectedVersion of [0, 1, 3, 9])
      await assert.rejects(
        database.transaction((tx) => append(tx, stream, expectedVersion, 7)),
        conflict,
      );
    const both = [other, stream].map((each) => ({ stream: each, expectedVersion: 0, events: [counted(7)] }));
    await assert.rejects(
      database.transaction((tx) => log.append(tx, call, both)),
      conflict,
    );
    assert.equal((await log.history(database, stream)).length, 2);
    assert.equal((await log.history(database, other)).length, 0);
    await assert.rejects(
      database.transaction((tx) => log.append(tx, call, [{ stream, expectedVersion: 2, events: [create(PlainSchema)] }])),
      /is no event/,
    );
    await database.transaction((tx) => log.append(tx, call, []));
  });

  it("of concurrent writers of a version one wins", async () => {
    const stream = newStream();
    const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, at) => database.transaction((tx) => append(tx, stream, 0, at))));
    assert.equal(tries.filter(({ status }) => status === "fulfilled").length, 1);
    for (const tried of tries) assert.ok(tried.status === "fulfilled" || conflict(tried.reason));
  });

  it("writes state and events in one statement", async () => {
    const stream = newStream();
    const write = (expectedVersion: number) =>
      database.rows<{ stream: string; version: number }>(sql`
        with state as (
          insert into things (id, amount) values (${stream}, 1) on conflict (id) do update set amount = things.amount + 1 returning id
        ), recorded as (${log.appendSql(call, [{ stream, expectedVersion, events: [counted(1), counted(2)] }])})
        select recorded.* from recorded, state order by version`);
    assert.deepEqual(await write(0), [
      { stream, version: 1 },
      { stream, version: 2 },
    ]);
    assert.deepEqual(await write(2), [
      { stream, version: 3 },
      { stream, version: 4 },
    ]);
    assert.deepEqual(await write(9), []);
    await assert.rejects(write(1), isVersionTaken);
    assert.deepEqual(await database.rows(log.appendSql(call, [])), []);
  });

  it("MSG-13: an event cannot be changed, deleted or truncated", async () => {
    await database.transaction((tx) => append(tx, newStream(), 0, 1));
    for (const change of [sql`update events set actor = 'me'`, sql`delete from events`, sql`truncate events`])
      await assert.rejects(database.run(change), /append only/);
  });
});
