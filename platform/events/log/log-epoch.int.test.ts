import assert from "node:assert/strict";
import { it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { PositionSchema } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { sql } from "../../database/sql.ts";
import { openTestLog, reading } from "./open-test-log.ts";

it("a new epoch begins on another server and when a reader is ahead of the log; events of all epochs are read in order", async () => {
  const { database, reader, open, append, newStream, head, readAll } = await openTestLog();
  const stream = newStream();
  const after = await head();
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
