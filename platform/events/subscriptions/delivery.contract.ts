import assert from "node:assert/strict";
import { it } from "node:test";
import { sql } from "../../database/sql.ts";
import { callFor } from "../call-for.ts";
import { isEvent, subscription } from "../events.ts";
import type { RecordedEvent } from "../events.ts";
import { counted, CountedSchema, renamed, RenamedSchema } from "../test-events.ts";
import type { Counted } from "../test-events.ts";
import { append, applied, assertExactlyOnce, call, gate, quick, recording, returning, until } from "../test-subscriptions.ts";
import type { EventsInstallation } from "../test-subscriptions.ts";
import type { Database } from "../../database/database.ts";
import { listParked, replayParked } from "./parked.ts";

export interface DeliveryCounts {
  /** For MSG-05: 10,000 by default. */
  readonly events?: number;
  /** For MSG-09: how many connections are cut, 20 by default. */
  readonly crashes?: number;
}

/** Events are applied in the order of their stream, each once, whichever processes run the subscription and whatever fails. */
export function deliveryContract(
  open: () => Promise<EventsInstallation>,
  { events: eventsCount = 10_000, crashes = 20 }: DeliveryCounts,
): void {
  it("MSG-13, I9: applies a stream's events in order, typed, with their actor and cause", async () => {
    const { log, publisher, subscribe } = await (await open()).process();
    const seen: RecordedEvent[] = [];
    const watching = await subscribe([
      subscription({
        name: "watch",
        publisher: "things",
        schemas: [CountedSchema],
        apply: async (_, events) => void seen.push(...events),
      }),
    ]);
    await append(publisher, log, "a", 0, 3);
    await publisher.transaction((tx) => log.append(tx, call, [{ stream: "a", expectedVersion: 3, events: [renamed("x"), counted(4)] }]));
    await watching.caughtUp();
    assert.deepEqual(
      seen.map(({ version, data }) => [version, (data as Counted).amount]),
      [
        [1, 1],
        [2, 2],
        [3, 3],
        [5, 4],
      ],
    );
    const event = seen[0]!;
    assert.deepEqual([isEvent(event, CountedSchema), isEvent(event, RenamedSchema)], [true, false]);
    assert.match(event.id, /^evt_/);
    assert.deepEqual([event.actor, event.correlation, event.causation], ["things", call.correlation, ""]);
    const after = callFor(event, "watchers");
    assert.deepEqual([after.actor, after.correlation, after.causation, after.trace], ["watchers", call.correlation, event.id, call.trace]);
  });

  it("MSG-05, I8: the lag returns to 0 after many events", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    const watching = await subscribe([recording("watch")]);
    const streams = 50;
    for (let round = 0; round < eventsCount / streams / 10; round++)
      await publisher.transaction((tx) =>
        log.append(
          tx,
          call,
          Array.from({ length: streams }, (_, at) => ({
            stream: `s${at}`,
            expectedVersion: round * 10,
            events: Array.from({ length: 10 }, (_item, nth) => counted(nth)),
          })),
        ),
      );
    await watching.caughtUp();
    const [status] = await watching.status();
    assert.deepEqual([status?.applied, status?.lag, status?.parked, status?.skipped], [eventsCount, 0, 0, 0]);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("wakes subscribers in other processes, and by appends of other processes", async () => {
    const installation = await open();
    const [one, two] = [await installation.process(), await installation.process()];
    const watching = await one.subscribe([recording("watch")], { pollMs: 600_000 });
    await append(two.publisher, two.log, "a", 0, 1);
    await applied(one.subscriber, "watch", 1);
    await append(one.publisher, one.log, "a", 1, 1);
    await watching.caughtUp();
    await assertExactlyOnce(one.publisher, one.subscriber, "watch");
  });

  it("two processes with one subscription apply each event once, and one continues at once when the other stops", async () => {
    const installation = await open();
    const [one, two] = [await installation.process(), await installation.process()];
    const first = await one.subscribe([recording("watch")], quick);
    const second = await two.subscribe([recording("watch")], quick);
    for (let version = 0; version < 20; version++) await append(one.publisher, version % 2 === 0 ? one.log : two.log, "a", version, 1, one);
    await second.caughtUp();
    await first.stop();
    await append(two.publisher, two.log, "a", 20, 5);
    await second.caughtUp();
    assert.equal((await second.status())[0]?.applied, 25);
    await assertExactlyOnce(two.publisher, two.subscriber, "watch");
  });

  for (const [how, watch] of Object.entries({ "writes in its transaction": recording, "returns what it writes": returning }))
    it(`a holder that hangs past its lease writes nothing when it continues: one that ${how}`, () => hangs(open, watch));

  it("parks what a handler returns and PostgreSQL refuses, and applies the rest; a replay writes it", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    let refused = true;
    const watching = await subscribe(
      [
        {
          ...returning("watch"),
          apply: async (tx, events) => {
            const { parts } = (await returning("watch").apply(tx, events))!;
            const good = !refused || events.every(({ stream }) => stream !== "b");
            return { parts, complete: [sql`${good}::boolean`] };
          },
        },
      ],
      { ...quick, attemptsMax: 1 },
    );
    await publisher.transaction((tx) =>
      log.append(
        tx,
        call,
        ["a", "b", "c"].map((stream) => ({ stream, expectedVersion: 0, events: [counted(1)] })),
      ),
    );
    await watching.caughtUp();
    assert.deepEqual(
      (await listParked(subscriber)).map(({ stream }) => stream),
      ["b"],
    );
    refused = false;
    await replayParked(subscriber);
    await until(async () => (await listParked(subscriber)).length === 0);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("MSG-09: a crash between effect and commit leaves one effect and parks nothing", async () => {
    const { log, publisher, subscriber, subscribe } = await (await open()).process();
    let tries = 0;
    const crashing = recording("watch", async (tx) => {
      if (++tries <= 2) await tx.run(sql`select pg_terminate_backend(pg_backend_pid())`);
    });
    const watching = await subscribe([crashing], quick);
    await append(publisher, log, "a", 0, 3);
    await watching.caughtUp();
    assert.equal(tries, 3);
    assert.deepEqual(await listParked(subscriber), []);
    await assertExactlyOnce(publisher, subscriber, "watch");
  });

  it("MSG-09, I8, I9: connections cut at random lose no event and apply none twice", async () => {
    const installation = await open();
    const [one, two] = [await installation.process(), await installation.process()];
    const names = ["watch", "count"];
    const subscriptions = [recording("watch"), returning("count")];
    const watching = [await one.subscribe(subscriptions, quick), await two.subscribe(subscriptions, quick)];
    let writing = true;
    const writers = [one, two, one, two].map(async ({ publisher, log }, writer) => {
      for (let version = 0; writing;) {
        version = await untilConnected(async () => {
          const there = (await log.history(publisher, `w${writer}`)).length;
          if (there === version) await append(publisher, log, `w${writer}`, version, 1);
          return (await log.history(publisher, `w${writer}`)).length;
        });
      }
    });
    for (let crash = 0; crash < crashes; crash++) {
      const { publisher, subscriber } = crash % 2 === 0 ? one : two;
      await untilConnected(() => cutOneConnection(crash % 3 === 0 ? publisher : subscriber));
      const before = await untilConnected(() => eventCount(one.publisher));
      await until(async () => (await untilConnected(() => eventCount(one.publisher))) > before + 5);
    }
    writing = false;
    await Promise.all(writers);
    await Promise.all(watching.map((each) => each.caughtUp()));
    for (const each of names) await assertExactlyOnce(one.publisher, one.subscriber, each);
  });
}

async function hangs(open: () => Promise<EventsInstallation>, watch: typeof recording): Promise<void> {
  const installation = await open();

  const [one, two] = [await installation.process(), await installation.process()];
  const [entered, released] = [gate(), gate()];
  const hanging = watch("watch", async () => {
    entered.open();
    await released.passed;
  });
  await one.subscribe([hanging], { ...quick, leaseMs: 60_000 });
  await append(one.publisher, one.log, "a", 0, 3);
  await entered.passed;
  await two.subscriber.run(sql`update subscriptions set lease_until = now() - interval '1 second'`);
  const second = await two.subscribe([watch("watch")], quick);
  await second.caughtUp();
  released.open();
  await append(two.publisher, two.log, "a", 3, 2);
  await second.caughtUp();
  await assertExactlyOnce(two.publisher, two.subscriber, "watch");
}

async function eventCount(publisher: Database): Promise<number> {
  return (await publisher.one<{ count: number }>(sql`select count(*)::int as count from events`)).count;
}

async function cutOneConnection(database: Database): Promise<void> {
  await database.run(sql`
    select pg_terminate_backend(pid) from (
      select pid from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() order by random() limit 1) one`);
}

/** Repeats what fails because a connection to the database was cut. */
async function untilConnected<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 50; ; left--)
    try {
      return await work();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
}
