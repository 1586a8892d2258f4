import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { migrate } from "../database/migrate.ts";
import { observed, unavailable } from "../database/open-test-observed-database.ts";
import { mailboxMigrations } from "./mail-catcher.ts";
import { createMailWriter } from "./mail-writer.ts";
import type { CaughtMail } from "./mail-writer.ts";

const mail = (messageId: string, { subject = "Your order", bytes = 100 } = {}): CaughtMail => ({
  messageId,
  sender: "shop@kontor.test",
  recipients: ["ada@example.com"],
  subject,
  receivedAt: new Date("2026-03-01T12:00:00Z"),
  raw: Buffer.alloc(bytes, "x"),
});
const some = (count: number) => Array.from({ length: count }, (_, n) => `${n}@kontor`);

/** A writer to a database of its own. `before` is called with each statement's number, and it is sent after what that gives. */
async function openWriter(before: (statement: number) => Promise<void> = async () => undefined) {
  const open = await observed();
  await migrate(open.database, [mailboxMigrations]);
  const seen = { statements: 0, underWay: 0, underWayMax: 0, stored: 0 };
  const run: Database["run"] = async (query) => {
    seen.underWayMax = Math.max(seen.underWayMax, ++seen.underWay);
    try {
      await before(++seen.statements);
      return await open.database.run(query);
    } finally {
      seen.underWay--;
    }
  };
  const write = createMailWriter({ run }, () => seen.stored++);
  const ids = async (): Promise<string[]> =>
    (await open.database.rows<{ id: string }>(sql`select message_id as id from mails order by position`)).map(({ id }) => id);
  return { ...open, write, seen, ids };
}

describe("the mailbox's writer", { concurrency: true }, () => {
  it("stores mails that come at once by one statement, in their order, each Message-ID once", async () => {
    const { write, seen, ids } = await openWriter();
    const all = some(100);
    await Promise.all([...all, ...all].map((id) => write(mail(id))));
    assert.deepEqual([seen.statements, seen.stored, await ids()], [1, 1, all]);
  });

  it("stores no more than 8 MiB by a statement", async () => {
    const { write, seen, ids } = await openWriter();
    await Promise.all(some(5).map((id) => write(mail(id, { bytes: 3 * 1024 * 1024 }))));
    assert.deepEqual([seen.statements, await ids()], [3, some(5)]);
  });

  it("one that the database refuses fails alone", async () => {
    const { database, write, ids } = await openWriter();
    await database.run(sql`alter table mails add check (subject <> 'bad')`);
    const outcomes = await Promise.allSettled(some(20).map((id, n) => write(mail(id, n === 7 ? { subject: "bad" } : {}))));
    assert.deepEqual(
      outcomes.flatMap(({ status }, n) => (status === "rejected" ? [n] : [])),
      [7],
    );
    assert.deepEqual(
      await ids(),
      some(20).filter((_, n) => n !== 7),
    );
  });

  it("I7: after a lost connection mails that are sent again are stored once", async () => {
    const { observer, write, ids, seen } = await openWriter();
    const locked = Promise.withResolvers<void>();
    const release = Promise.withResolvers<void>();
    const holding = observer.transaction(async (tx) => {
      await tx.run(sql`lock table mails in share mode`);
      locked.resolve();
      await release.promise;
    });
    await locked.promise;
    const writing = Promise.allSettled(some(20).map((id) => write(mail(id))));
    const kill = sql`select pg_terminate_backend(pid, 5000) as done from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    while ((await observer.rows(kill)).length === 0);
    for (const outcome of await writing) assert.ok(outcome.status === "rejected" && unavailable(outcome.reason));
    release.resolve();
    // The end of the lost connection is handled meanwhile.
    await holding;
    assert.deepEqual([await observer.rows(sql`select 1 from mails`), seen.stored], [[], 0]);
    await Promise.all([...some(20), ...some(20)].map((id) => write(mail(id))));
    assert.deepEqual([await ids(), seen.stored], [some(20), 1]);
  });

  it("inserts one batch at a time, however long one takes, so that positions become visible in order", async () => {
    const release = Promise.withResolvers<void>();
    const { write, seen, ids } = await openWriter((statement) => (statement === 1 ? release.promise : Promise.resolve()));
    const writing = [write(mail("first@kontor"))];
    // Until a batch that is under way for so long does not keep the next one from being begun.
    for (const beganMs = performance.now(); performance.now() - beganMs < 150; await nextTurn());
    writing.push(write(mail("second@kontor")));
    for (let turn = 0; turn < 10; turn++) await nextTurn();
    release.resolve();
    await Promise.all(writing);
    assert.deepEqual([seen.underWayMax, await ids()], [1, ["first@kontor", "second@kontor"]]);
  });
});
