import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { ManualClock } from "../clock/clock.ts";
import type { Database, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { rootCall } from "../call/call.ts";
import { callFor } from "./call-for.ts";
import { isEvent, subscription } from "./events.ts";
import type { RecordedEvent, Subscription } from "./events.ts";
import type { HostedEventLog } from "./log/event-log.ts";
import { listParked, replayParked, skipParked } from "./subscriptions/parked.ts";
import type { LoopOptions } from "./subscriptions/subscription-loop.ts";
import { resetSubscription } from "./subscriptions/reset-subscription.ts";
import { subscriptionRows } from "./subscriptions/subscription-store.ts";
import type { Subscriptions } from "./subscriptions/subscriptions.ts";
import { counted, CountedSchema, renamed, RenamedSchema } from "./test-events.ts";
import type { Counted } from "./test-events.ts";

/** One process of a house: the service "things" with its log, and a subscriber with a database of its own. */
export interface EventsProcess {
  readonly publisher: Database;
  readonly log: HostedEventLog;
  readonly subscriber: Database;
  /** Starts the subscriptions of the service "watchers" in this process. */
  subscribe(subscriptions: readonly Subscription[], options?: Partial<LoopOptions>): Promise<Subscriptions>;
}

export interface EventsApp {
  readonly clock: ManualClock;
  /** Another process of the same house. All end with the test. */
  process(): Promise<EventsProcess>;
}

export interface EventsCounts {
  /** For MSG-05: 10,000 by default. */
  readonly events?: number;
  /** For MSG-09: how many connections are cut, 20 by default. */
  readonly crashes?: number;
}

const call = rootCall({ caller: "things", timeoutMs: 60_000 });
const quick = { lingerMs: 0, pauseMs: 0, pollMs: 60_000 };

/** What every engine that carries events promises. `open` gives a new house with empty databases, and ends it with the test. */
export function eventsContract(
  name: string,
  open: () => Promise<EventsApp>,
  { events: eventsCount = 10_000, crashes = 20 }: EventsCounts = {},
): void {
  describe(`events: ${name}`, () => {
    it("MSG-13, I9: applies a stream's events in order, typed, with who did them and why", async () => {
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
      assert.deepEqual(
        [after.actor, after.correlation, after.causation, after.trace],
        ["watchers", call.correlation, event.id, call.trace],
      );
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
      const app = await open();
      const [shop, shell] = [await app.process(), await app.process()];
      const watching = await shop.subscribe([recording("watch")], { pollMs: 600_000 });
      await append(shell.publisher, shell.log, "a", 0, 1);
      await applied(shop.subscriber, "watch", 1);
      await append(shop.publisher, shop.log, "a", 1, 1);
      await watching.caughtUp();
      await assertExactlyOnce(shop.publisher, shop.subscriber, "watch");
    });

    it("two processes on one subscription apply each event once, and one goes on at once when the other stops", async () => {
      const app = await open();
      const [one, two] = [await app.process(), await app.process()];
      const first = await one.subscribe([recording("watch")], quick);
      const second = await two.subscribe([recording("watch")], quick);
      for (let version = 0; version < 20; version++)
        await append(one.publisher, version % 2 === 0 ? one.log : two.log, "a", version, 1, one);
      await second.caughtUp();
      await first.stop();
      await append(two.publisher, two.log, "a", 20, 5);
      await second.caughtUp();
      assert.equal((await second.status())[0]?.applied, 25);
      await assertExactlyOnce(two.publisher, two.subscriber, "watch");
    });

    it("a holder that hung past its lease writes nothing when it wakes", async () => {
      const app = await open();
      const [one, two] = [await app.process(), await app.process()];
      const [entered, released] = [gate(), gate()];
      const hanging = recording("watch", async () => {
        entered.open();
        await released.passed;
      });
      await one.subscribe([hanging], { ...quick, leaseMs: 60_000 });
      await append(one.publisher, one.log, "a", 0, 3);
      await entered.passed;
      await two.subscriber.run(sql`update subscriptions set lease_until = now() - interval '1 second'`);
      const second = await two.subscribe([recording("watch")], quick);
      await second.caughtUp();
      released.open();
      await append(two.publisher, two.log, "a", 3, 2);
      await second.caughtUp();
      await assertExactlyOnce(two.publisher, two.subscriber, "watch");
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

    it("MSG-09, I8, I9: connections cut at random cost no event and double none", async () => {
      const app = await open();
      const [one, two] = [await app.process(), await app.process()];
      const names = ["watch", "count"];
      const watching = [
        await one.subscribe(
          names.map((each) => recording(each)),
          quick,
        ),
        await two.subscribe(
          names.map((each) => recording(each)),
          quick,
        ),
      ];
      let writing = true;
      const writers = [one, two, one, two].map(async ({ publisher, log }, writer) => {
        for (let version = 0; writing;) {
          version = await stubborn(async () => {
            const there = (await log.history(publisher, `w${writer}`)).length;
            if (there === version) await append(publisher, log, `w${writer}`, version, 1);
            return (await log.history(publisher, `w${writer}`)).length;
          });
        }
      });
      for (let crash = 0; crash < crashes; crash++) {
        const { publisher, subscriber } = crash % 2 === 0 ? one : two;
        await stubborn(() => cutOne(crash % 3 === 0 ? publisher : subscriber));
        const before = await stubborn(() => eventCount(one.publisher));
        await until(async () => (await stubborn(() => eventCount(one.publisher))) > before + 5);
      }
      writing = false;
      await Promise.all(writers);
      await Promise.all(watching.map((each) => each.caughtUp()));
      for (const each of names) await assertExactlyOnce(one.publisher, one.subscriber, each);
    });

    it("MSG-07: a handler that fails twice and then succeeds has its effect once, after the backoff", async () => {
      const app = await open();
      const { log, publisher, subscriber, subscribe } = await app.process();
      const triedAt: number[] = [];
      const failing = recording("watch", async () => {
        triedAt.push(app.clock.now().getTime());
        if (triedAt.length <= 2) throw new Error("not yet");
      });
      const watching = await subscribe([failing], quick);
      await append(publisher, log, "a", 0, 1);
      await watching.caughtUp();
      for (const attempts of [1, 2]) {
        const [parked] = await until(async () => {
          const rows = await listParked(subscriber);
          return rows[0]?.attempts === attempts && rows;
        });
        assert.match(parked!.cause, /not yet/);
        const waitMs = parked!.nextAttemptAt!.getTime() - app.clock.now().getTime();
        assert.ok(waitMs >= attempts * 800 && waitMs <= attempts * 1_200, `waits ${waitMs} ms`);
        app.clock.set(parked!.nextAttemptAt!);
      }
      await applied(subscriber, "watch", 1);
      assert.equal(triedAt.length, 3);
      assert.deepEqual(await listParked(subscriber), []);
      await assertExactlyOnce(publisher, subscriber, "watch");
    });

    it("MSG-06: a poison message parks with its cause and its stream, the rest flow on, and a replay empties the parking", async () => {
      const app = await open();
      const { log, publisher, subscriber, subscribe } = await app.process();
      let broken = true;
      const picky = recording("watch", async (_, events) => {
        if (broken && events.some(({ data }) => (data as Counted).amount === 2)) throw new Error("cannot digest");
      });
      const watching = await subscribe([picky], quick);
      await append(publisher, log, "bad", 0, 4);
      await append(publisher, log, "good", 0, 1);
      await publisher.transaction((tx) =>
        log.append(tx, call, [
          { stream: "good", expectedVersion: 1, events: [counted(7)] },
          { stream: "bad", expectedVersion: 4, events: [counted(5)] },
        ]),
      );
      await watching.caughtUp();
      assert.deepEqual(await effectsOf(subscriber), ["bad 1", "good 1", "good 2"]);
      assert.deepEqual(
        (await listParked(subscriber)).map(({ stream, version, attempts, cause }) => [stream, version, attempts, cause]),
        [
          ["bad", 2, 1, "Error: cannot digest"],
          ["bad", 3, 0, ""],
          ["bad", 4, 0, ""],
          ["bad", 5, 0, ""],
        ],
      );

      for (let attempts = 2; attempts <= 5; attempts++) {
        app.clock.advance(60_000);
        await until(async () => (await listParked(subscriber))[0]?.attempts === attempts);
      }
      assert.equal((await listParked(subscriber))[0]?.nextAttemptAt, null);
      app.clock.advance(3_600_000);
      await append(publisher, log, "bad", 5, 1);
      await watching.caughtUp();
      assert.deepEqual(
        (await listParked(subscriber)).map(({ attempts }) => attempts),
        [5, 0, 0, 0, 0],
      );

      broken = false;
      assert.equal(await replayParked(subscriber, { ids: [(await listParked(subscriber))[0]!.id] }), 5);
      await applied(subscriber, "watch", 8);
      assert.deepEqual(await listParked(subscriber), []);
      assert.equal(await replayParked(subscriber), 0);
      await append(publisher, log, "bad", 6, 1);
      await watching.caughtUp();
      await assertExactlyOnce(publisher, subscriber, "watch");
    });

    it("DEV-07, I9: whatever is written at once and whatever fails, each stream's events are applied in its order, each once", async () => {
      const { log, publisher, subscriber, subscribe } = await (await open()).process();
      const failing = new Set<string>();
      const watching = await subscribe(
        [
          recording("watch", async (_, events) => {
            if (events.some(({ stream, version }) => failing.has(`${stream} ${version}`))) throw new Error("not now");
          }),
        ],
        quick,
      );
      const writes = fc.array(fc.record({ stream: fc.nat(3), count: fc.integer({ min: 1, max: 4 }) }), { minLength: 1, maxLength: 15 });
      const failures = fc.array(fc.record({ stream: fc.nat(3), version: fc.integer({ min: 1, max: 10 }) }), { maxLength: 3 });
      // First of all one that parks events over the step from one digit to two in the log's positions.
      const examples: [{ stream: number; count: number }[], { stream: number; version: number }[]][] = [
        [[4, 4, 4].map((count) => ({ stream: 0, count })), [{ stream: 0, version: 8 }]],
      ];
      let [round, written] = [0, 0];
      await fc.assert(
        fc.asyncProperty(writes, failures, async (given, bad) => {
          round++;
          for (const { stream, version } of bad) failing.add(`${round}-${stream} ${version}`);
          // The streams are written side by side, each in its order.
          await Promise.all(
            Map.groupBy(given, ({ stream }) => stream)
              .values()
              .map(async (appends) => {
                for (let [at, version] = [0, 0]; at < appends.length; version += appends[at++]!.count)
                  await append(publisher, log, `${round}-${appends[at]!.stream}`, version, appends[at]!.count);
              }),
          );
          written += given.reduce((sum, { count }) => sum + count, 0);
          await watching.caughtUp();
          failing.clear();
          await replayParked(subscriber);
          await applied(subscriber, "watch", written);
          await assertExactlyOnce(publisher, subscriber, "watch");
        }),
        { numRuns: 15, examples },
      );
    });

    it("MSG-06: what cannot be decoded parks, and skipping it lets its stream go on", async () => {
      const { log, publisher, subscriber, subscribe } = await (await open()).process();
      const watching = await subscribe([recording("watch")], quick);
      await append(publisher, log, "a", 0, 1);
      await garbage(publisher, "a", 2);
      await append(publisher, log, "a", 2, 2);
      await append(publisher, log, "b", 0, 1);
      await watching.caughtUp();
      assert.deepEqual(await effectsOf(subscriber), ["a 1", "b 1"]);
      const [poison] = await listParked(subscriber);
      assert.match(poison!.cause, /test\.thing\.counted cannot be read/);
      assert.equal(await skipParked(subscriber, { subscription: "watch", ids: [poison!.id] }), 1);
      await applied(subscriber, "watch", 4);
      const [status] = await watching.status();
      assert.deepEqual([status?.applied, status?.parked, status?.skipped], [4, 0, 1]);
      assert.deepEqual(await effectsOf(subscriber), ["a 1", "a 3", "a 4", "b 1"]);
    });

    it("an operator who skips an event during its retry wins: it is skipped and has no effect", async () => {
      const app = await open();
      const { log, publisher, subscriber, subscribe } = await app.process();
      const [entered, released] = [gate(), gate()];
      let tries = 0;
      const failing = recording("watch", async () => {
        if (++tries === 1) throw new Error("not yet");
        if (tries > 2) return;
        entered.open();
        await released.passed;
      });
      const watching = await subscribe([failing], quick);
      await append(publisher, log, "a", 0, 1);
      await watching.caughtUp();
      app.clock.advance(60_000);
      await entered.passed;
      assert.equal(await skipParked(subscriber, { stream: "a" }), 1);
      released.open();
      await append(publisher, log, "a", 1, 1);
      await applied(subscriber, "watch", 1);
      assert.deepEqual(await effectsOf(subscriber), ["a 2"]);
      assert.equal((await watching.status())[0]?.skipped, 1);
    });

    it("keeps what is parked over a restart", async () => {
      const { log, publisher, subscriber, subscribe } = await (await open()).process();
      let broken = true;
      const failing = recording("watch", async (_, events) => {
        if (broken && events[0]!.stream === "a") throw new Error("broken");
      });
      const before = await subscribe([failing], quick);
      await append(publisher, log, "a", 0, 1);
      await before.caughtUp();
      await before.stop();
      assert.equal(await replayParked(subscriber, { stream: "a" }), 1);
      await append(publisher, log, "a", 1, 2);
      broken = false;
      const after = await subscribe([failing], quick);
      await after.caughtUp();
      await applied(subscriber, "watch", 3);
      await assertExactlyOnce(publisher, subscriber, "watch");
    });

    it("CON-02, CON-03: a subscription that is reset rebuilds the same from the log", async () => {
      const { log, publisher, subscriber, subscribe } = await (await open()).process();
      const watching = await subscribe([recording("watch")], quick);
      for (let version = 0; version < 5; version++) await append(publisher, log, `s${version % 2}`, Math.floor(version / 2), 1);
      await watching.caughtUp();
      const before = await effectsOf(subscriber);
      await resetSubscription(subscriber, "watch", async (tx) => void (await tx.run(sql`truncate effects`)));
      await applied(subscriber, "watch", 5);
      assert.deepEqual(await effectsOf(subscriber), before);
      await assertExactlyOnce(publisher, subscriber, "watch");
    });

    it("CON-03: who waits for a subscription that was reset a moment ago waits until it is there again", async () => {
      const { log, publisher, subscriber, subscribe } = await (await open()).process();
      const watching = await subscribe([recording("watch")], quick);
      for (let version = 0; version < 5; version++) await append(publisher, log, `s${version % 2}`, Math.floor(version / 2), 1);
      await watching.caughtUp();
      // Its processes have not heard of it yet.
      const unheard = { transaction: subscriber.transaction.bind(subscriber), notify: async () => undefined };
      await resetSubscription(unheard, "watch", async (tx) => void (await tx.run(sql`truncate effects`)));
      await watching.caughtUp();
      await assertExactlyOnce(publisher, subscriber, "watch");
    });
  });
}

/** A subscription to Counted that writes each event down, after `first`. */
export function recording(name: string, first: Subscription["apply"] = async () => undefined): Subscription {
  return {
    name,
    publisher: "things",
    schemas: [CountedSchema],
    apply: async (tx, events) => {
      await first(tx, events);
      await tx.run(sql`
        insert into effects (subscription, event, stream, version)
        select ${name}::text, * from unnest(
          ${events.map(({ id }) => id)}::text[], ${events.map(({ stream }) => stream)}::text[], ${events.map(({ version }) => version)}::int[])`);
    },
  };
}

/** Appends `count` Counted events with their versions as amounts. */
export async function append(
  publisher: Database,
  log: HostedEventLog,
  stream: string,
  expectedVersion: number,
  count: number,
  elsewhere?: EventsProcess,
): Promise<void> {
  const events = Array.from({ length: count }, (_, at) => counted(expectedVersion + at + 1));
  const database = elsewhere?.log === log ? elsewhere.publisher : publisher;
  await database.transaction((tx: Transaction) => log.append(tx, call, [{ stream, expectedVersion, events }]));
}

/** An event whose data is no message, as a broken publisher would write it. */
async function garbage(publisher: Database, stream: string, version: number): Promise<void> {
  await publisher.run(sql`
    insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
    select epoch, pg_current_xact_id(), 'evt_garbage', ${stream}, ${version}, 'test.thing.counted', '\\xffff', 'x', '', '', '', now() from log_epoch`);
}

/** Asserts I8 and I9: each event of the type had its effect once, is parked or was skipped; the counter agrees; versions of a stream rise. */
export async function assertExactlyOnce(publisher: Database, subscriber: Database, name: string): Promise<void> {
  const logged = await publisher.rows<{ id: string }>(sql`select id from events where type = 'test.thing.counted' order by id`);
  const effects = await subscriber.rows<{ event: string }>(sql`select event from effects where subscription = ${name} order by event`);
  assert.deepEqual(
    effects.map(({ event }) => event),
    logged.map(({ id }) => id),
  );
  const row = (await subscriptionRows(subscriber)).find((each) => each.name === name);
  assert.equal(row!.applied + row!.parked + row!.skipped, logged.length);
  const disordered = await subscriber.rows(sql`
    select * from (
      select stream, version, lag(version) over (partition by stream order by nth) as before from effects where subscription = ${name}
    ) each where version <= before`);
  assert.deepEqual(disordered, []);
}

/** The effects as "stream version", by stream and in the order they were made. */
export async function effectsOf(subscriber: Database): Promise<string[]> {
  const rows = await subscriber.rows<{ effect: string }>(sql`select stream || ' ' || version as effect from effects order by stream, nth`);
  return rows.map(({ effect }) => effect);
}

async function eventCount(publisher: Database): Promise<number> {
  return (await publisher.one<{ count: number }>(sql`select count(*)::int as count from events`)).count;
}

async function cutOne(database: Database): Promise<void> {
  await database.run(sql`
    select pg_terminate_backend(pid) from (
      select pid from pg_stat_activity
      where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid() order by random() limit 1) one`);
}

/** Waits until a subscription has applied so many events. */
export async function applied(subscriber: Database, name: string, count: number): Promise<void> {
  await until(async () => (await subscriptionRows(subscriber)).find((row) => row.name === name)?.applied === count);
}

/** Repeats what the database refused because its connection was cut. */
async function stubborn<T>(work: () => Promise<T>): Promise<T> {
  for (let left = 50; ; left--)
    try {
      return await work();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
}

/** Asks until the answer is something: for states of the database, which nobody signals. */
export async function until<T>(ask: () => Promise<T | false | undefined>): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (answer !== false && answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}
