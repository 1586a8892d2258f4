import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { outsideTransaction } from "../../database/in-transaction.ts";
import { sql } from "../../database/sql.ts";
import { comparePositions } from "../position.ts";
import { counted, renamed } from "../test-events.ts";
import { call, openTestLog, reading } from "./open-test-log.ts";
import type { TestLog } from "./open-test-log.ts";

describe("reading an event log", () => {
  let database: TestLog["database"];
  let log: TestLog["log"];
  let reader: TestLog["reader"];
  let append: TestLog["append"];
  let newStream: TestLog["newStream"];
  let head: TestLog["head"];
  let readAll: TestLog["readAll"];

  before(async () => {
    ({ database, log, reader, append, newStream, head, readAll } = await openTestLog());
  });

  it("MSG-09: an event that commits later under an older transaction id is read before those committed earlier", async () => {
    const after = await head();
    const [older, newer] = [newStream(), newStream()];
    let seenBetween: Event[] = [];
    await database.transaction(async (tx) => {
      await append(tx, older, 0, 1);
      await outsideTransaction(() => database.transaction((inner) => append(inner, newer, 0, 2)));
      const page = await outsideTransaction(() => reader.readEvents({ after, limit: 100 }, reading()));
      seenBetween = page.events;
      assert.equal(comparePositions(page.next!, page.head!) < 0, true, "the head shows that there is more to read");
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
    const after = await head();
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
    const after = await head();
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
      const until = await head();
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
    const after = await head();
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
    const { next, head: last } = await reader.readEvents({ after: await head(), types: ["test.thing.other"], limit: 5 }, reading());
    assert.deepEqual(next, last);
  });

  it("scans 10,000 events a read for rare ones, and loses none", async () => {
    const after = await head();
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
    const after = await head();
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
    const after = await head();
    const stream = newStream();
    const waiting = reader.readEvents({ after, limit: 10, waitMs: 20_000 }, reading());
    await database.transaction((tx) => append(tx, stream, 0, 1));
    const { head: grown } = await waiting;
    assert.ok(comparePositions(grown!, after) > 0);
    const { events, head: last } = await reader.readEvents({ after: grown!, limit: 10, waitMs: 5 }, reading());
    assert.deepEqual([events, last], [[], grown]);
  });
});
