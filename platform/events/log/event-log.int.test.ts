import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { CursorSchema, EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Cursor, Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { ManualClock } from "../clock/clock.ts";
import { createConnectionBudget } from "../database/connection-budget.ts";
import type { Database, Transaction } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import { openDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import { refusalIn } from "../errors/refusal.ts";
import { createIds } from "../ids/ids.ts";
import { rootCall } from "../call/call.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Client } from "../rpc/rpc.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, testDatabase } from "../testing/postgres.ts";
import { createEventLog, isVersionTaken } from "./event-log.ts";
import type { HostedEventLog } from "./event-log.ts";
import { comparePositions } from "../position.ts";
import { counted, PlainSchema, renamed, testRegistry } from "../test-events.ts";
import type { Counted } from "../test-events.ts";
import { createWakeups } from "../wakeups.ts";

const silent = () => undefined;
const logger: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => logger };
const call = rootCall({ caller: "things", user: { id: "usr_1", session: "ses_1", roles: [], verified: true }, timeoutMs: 120_000 });
const reading = () => rootCall({ caller: "watchers", timeoutMs: 30_000 });
const conflict = (error: unknown) => refusalIn(error)?.reason === "VERSION_CONFLICT" && refusalIn(error)?.code === "aborted";

describe("event log", () => {
  let database: Database;
  let log: HostedEventLog;
  let reader: Client<typeof EventLogService>;
  let open: () => Promise<{ log: HostedEventLog; reader: Client<typeof EventLogService> }>;
  let streams = 0;

  before(async () => {
    const { connection } = await testDatabase();
    const postgres = openDatabase({
      name: "things",
      connection,
      budget: createConnectionBudget({ connections: 40, background: 4 }),
      log: logger,
    });
    const endings: (() => Promise<void>)[] = [() => postgres.stop()];
    afterTests(async () => {
      for (const end of endings.toReversed()) await end();
    });
    const migration = await readFile(new URL("../migrations/0001-events.sql", import.meta.url), "utf8");
    await postgres.maintenance((tx) => tx.script(`${migration}; create table things (id text primary key, amount int not null)`));
    database = postgres;
    open = async () => {
      const clock = new ManualClock(new Date("2026-03-01T09:00:00Z"));
      const wakeups = createWakeups({ log: logger });
      const opened = createEventLog({
        service: "things",
        database,
        clock,
        ids: createIds(clock),
        registry: testRegistry,
        wakeups,
        log: logger,
      });
      await opened.start();
      endings.push(() => opened.stop());
      const rpc = createInProcessRpc({ log: logger, freeze: true });
      rpc.serve("things", [opened.route]);
      return { log: opened, reader: rpc.clientsFor("watchers").of("things", EventLogService) };
    };
    ({ log, reader } = await open());
  });

  const append = (tx: Transaction, stream: string, expectedVersion: number, ...amounts: number[]) =>
    log.append(tx, call, [{ stream, expectedVersion, events: amounts.map(counted) }]);
  const newStream = () => `s${++streams}`;
  const head = async () => (await reader.readEvents({ limit: 1 }, reading())).head;

  /** All events from a position on, page by page, until everything committed at the call has been seen. */
  async function readAll(request: { after?: Position; types?: string[]; limit?: number }): Promise<Event[]> {
    const all: Event[] = [];
    const until = (await head())!;
    let after = request.after;
    for (;;) {
      const { events, next } = await reader.readEvents({ limit: 100, ...request, ...(after && { after }) }, reading());
      all.push(...events);
      after = next!;
      if (comparePositions(next!, until) >= 0) return all;
    }
  }

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

  it("MSG-09: an event that commits later under an older transaction id is read before those committed earlier", async () => {
    const after = (await head())!;
    const [older, newer] = [newStream(), newStream()];
    let seenBetween: Event[] = [];
    await database.transaction(async (tx) => {
      await append(tx, older, 0, 1);
      await outsideTransaction(() => database.transaction((inner) => append(inner, newer, 0, 2)));
      const answer = await outsideTransaction(() => reader.readEvents({ after, limit: 100 }, reading()));
      seenBetween = answer.events;
      assert.equal(comparePositions(answer.next!, answer.head!) < 0, true, "the head shows that there is more to read");
    });
    assert.deepEqual(
      seenBetween.filter(({ stream }) => stream === newer),
      [],
    );
    const events = await readAll({ after });
    assert.deepEqual(
      events.map(({ stream }) => stream).filter((each) => each === older || each === newer),
      [older, newer],
    );
  });

  it("I9: a later version never sorts before an earlier one, though its transaction is older", async () => {
    const after = (await head())!;
    const stream = newStream();
    await database.transaction(async (tx) => {
      await tx.run(sql`insert into things (id, amount) values (${stream}, 0)`);
      await outsideTransaction(() => database.transaction((inner) => append(inner, stream, 0, 1)));
      await append(tx, stream, 1, 2, 3);
    });
    const events = (await readAll({ after })).filter((event) => event.stream === stream);
    assert.deepEqual(
      events.map(({ version }) => version),
      [1, 2, 3],
    );
  });

  it("MSG-09, I8: 24 writers whose commits interleave lose no event for a concurrent reader", async () => {
    const after = (await head())!;
    const prefix = `${newStream()}-`;
    let writing = 24;
    const writers = Array.from({ length: 24 }, async (_, writer) => {
      for (let version = 0; version < 10; version++)
        await database.transaction(async (tx) => {
          await append(tx, `${prefix}${writer}`, version, version);
          await tx.run(sql`select pg_sleep(random() * 0.02)`);
        });
      writing--;
    });
    const seen: Event[] = [];
    for (let position = after, last = false; !last;) {
      last = writing === 0;
      const until = (await head())!;
      do {
        const { events, next } = await reader.readEvents({ after: position, limit: 7 }, reading());
        seen.push(...events);
        position = next!;
      } while (comparePositions(position, until) < 0);
    }
    await Promise.all(writers);
    const ours = seen.filter(({ stream }) => stream.startsWith(prefix));
    assert.equal(new Set(ours.map(({ id }) => id)).size, 240);
    assert.equal(ours.length, 240);
    for (let writer = 0; writer < 24; writer++)
      assert.deepEqual(
        ours.filter(({ stream }) => stream === `${prefix}${writer}`).map(({ version }) => version),
        Array.from({ length: 10 }, (_, at) => at + 1),
      );
  });

  it("passes events of other types, and ends at the log's last position", async () => {
    const after = (await head())!;
    const stream = newStream();
    for (let version = 0; version < 12; version += 2)
      await database.transaction((tx) =>
        log.append(tx, call, [{ stream, expectedVersion: version, events: [counted(version), renamed("x")] }]),
      );
    for (const limit of [1, 2, 5, 100]) {
      const events = await readAll({ after, types: ["test.thing.counted"], limit });
      assert.deepEqual(
        events.map(({ version }) => version),
        [1, 3, 5, 7, 9, 11],
      );
    }
    const others = await readAll({ after, types: ["test.thing.other"] });
    assert.deepEqual(others, []);
    const { next, head: last } = await reader.readEvents({ after: (await head())!, types: ["test.thing.other"], limit: 5 }, reading());
    assert.deepEqual(next, last);
  });

  it("scans 10,000 events a read for rare ones, and loses none", async () => {
    const after = (await head())!;
    const stream = newStream();
    await database.run(sql`
      insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
      select epoch, pg_current_xact_id(), 'evt_bulk' || n, ${stream}, n,
        case when n in (9999, 10000, 10001, 20000, 25000) then 'test.thing.counted' else 'test.thing.renamed' end, '', '', '', '', '', now()
      from log_epoch, generate_series(1, 25001) n order by n`);
    const events = await readAll({ after, types: ["test.thing.counted"], limit: 3 });
    assert.deepEqual(
      events.filter((event) => event.stream === stream).map(({ version }) => version),
      [9999, 10000, 10001, 20000, 25000],
    );
  });

  it("responds to a reader waiting for some types when one of these comes, with the position after the others", async () => {
    const after = (await head())!;
    const stream = newStream();
    const wanted = reader.readEvents({ after, types: ["test.thing.renamed"], limit: 10, waitMs: 20_000 }, reading());
    for (let version = 0; version < 5; version++) await database.transaction((tx) => append(tx, stream, version, 1));
    await database.transaction((tx) => log.append(tx, call, [{ stream, expectedVersion: 5, events: [renamed("x")] }]));
    const { events } = await wanted;
    assert.deepEqual(
      events.map(({ version }) => version),
      [6],
    );
    const unwanted = await reader.readEvents({ after, types: ["test.thing.other"], limit: 10, waitMs: 5 }, reading());
    assert.deepEqual([unwanted.events, comparePositions(unwanted.next!, after) > 0], [[], true]);
  });

  it("responds to a waiting reader when an event comes, and when the time is over", async () => {
    const after = (await head())!;
    const stream = newStream();
    const waiting = reader.readEvents({ after, limit: 10, waitMs: 20_000 }, reading());
    await database.transaction((tx) => append(tx, stream, 0, 1));
    const { head: grown } = await waiting;
    assert.ok(comparePositions(grown!, after) > 0);
    const { events, head: last } = await reader.readEvents({ after: grown!, limit: 10, waitMs: 5 }, reading());
    assert.deepEqual([events, last], [[], grown]);
  });

  it("a new epoch begins on another server and when a reader is ahead of the log; events of all epochs are read in order", async () => {
    const stream = newStream();
    const after = (await head())!;
    const epoch = async () => (await database.one<{ epoch: number }>(sql`select epoch from log_epoch`)).epoch;
    const first = await epoch();
    await database.transaction((tx) => append(tx, stream, 0, 1));
    await open();
    assert.equal(await epoch(), first);

    await database.run(sql`update log_epoch set server = 'another'`);
    await Promise.all([open(), open()]);
    assert.equal(await epoch(), first + 1);
    await database.transaction((tx) => append(tx, stream, 1, 2));

    await database.run(sql`
      insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
      select epoch, '99999999998', 'evt_restored', ${stream}, 3, 'test.thing.counted', '', '', '', '', '', now() from log_epoch`);
    await open();
    assert.equal(await epoch(), first + 2, "transaction ids went back");
    await database.transaction((tx) => append(tx, stream, 3, 4));

    await database.run(sql`update log_epoch set xid = '99999999999'`);
    await open();
    assert.equal(await epoch(), first + 3, "transaction ids went back, and no event tells");
    await database.transaction((tx) => append(tx, stream, 4, 5));

    const lost = create(PositionSchema, { epoch: first + 3, xid: "99999999999", position: "1" });
    await reader.readEvents({ after: lost, limit: 1 }, reading());
    assert.equal(await epoch(), first + 4, "a reader knows more than the log has");
    await database.transaction((tx) => append(tx, stream, 5, 6));
    assert.deepEqual(
      (await readAll({ after: lost })).map(({ version }) => version),
      [6],
    );
    assert.deepEqual(
      (await readAll({ after })).filter((event) => event.stream === stream).map(({ version }) => version),
      [1, 2, 3, 4, 5, 6],
    );
  });
});
