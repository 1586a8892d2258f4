import assert from "node:assert/strict";
import { rootCall } from "../call/call.ts";
import type { ManualClock } from "../clock/clock.ts";
import type { Database, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { writeSql } from "../database/writes.ts";
import type { Subscription } from "./events.ts";
import type { HostedEventLog } from "./log/event-log.ts";
import type { LoopOptions } from "./subscriptions/subscription-loop.ts";
import { subscriptionRows } from "./subscriptions/subscription-store.ts";
import type { Subscriptions } from "./subscriptions/subscriptions.ts";
import { counted, CountedSchema } from "./test-events.ts";

/** One process of an installation: the service "things" with its log, and the service "watchers" with a database of its own. */
export interface EventsProcess {
  readonly publisher: Database;
  readonly log: HostedEventLog;
  readonly subscriber: Database;
  /** Starts the subscriptions of the service "watchers" in this process. */
  subscribe(subscriptions: readonly Subscription[], options?: Partial<LoopOptions>): Promise<Subscriptions>;
}

export interface EventsInstallation {
  readonly clock: ManualClock;
  /** Starts one more process of the installation. All are stopped after the test. */
  process(): Promise<EventsProcess>;
}

/** The call under which `append` records events. */
export const call = rootCall({ caller: "things", timeoutMs: 60_000 });

/** Options with which nothing waits for time to pass. */
export const quick = { lingerMs: 0, pauseMs: 0, pollMs: 60_000 };

/** A number of repetitions from an environment variable. */
export function countFrom(name: string, otherwise: number): number {
  return Number(process.env[name] ?? otherwise);
}

/** A subscription to Counted that records each event in the table effects, after `first`. */
export function recording(name: string, first: Subscription["apply"] = async () => undefined): Subscription {
  const subscription = returning(name, first);
  return {
    ...subscription,
    apply: async (tx, events) => {
      const writes = await subscription.apply(tx, events);
      if (writes !== undefined) await tx.run(writeSql(writes));
    },
  };
}

/** The same, but it returns what it writes. */
export function returning(name: string, first: Subscription["apply"] = async () => undefined): Subscription {
  return {
    name,
    publisher: "things",
    schemas: [CountedSchema],
    apply: async (tx, events) => {
      await first(tx, events);
      const effects = sql`effects_written as (
        insert into effects (subscription, event, stream, version)
        select ${name}::text, * from unnest(
          ${events.map(({ id }) => id)}::text[], ${events.map(({ stream }) => stream)}::text[], ${events.map(({ version }) => version)}::int[])
        returning 1)`;
      return { parts: [effects], complete: [sql`(select count(*) from effects_written) = ${events.length}::int`] };
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
  other?: EventsProcess,
): Promise<void> {
  const events = Array.from({ length: count }, (_, at) => counted(expectedVersion + at + 1));
  const database = other?.log === log ? other.publisher : publisher;
  await database.transaction((tx: Transaction) => log.append(tx, call, [{ stream, expectedVersion, events }]));
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

/** The effects as "stream version", by stream and in the order in which they were recorded. */
export async function effectsOf(subscriber: Database): Promise<string[]> {
  const rows = await subscriber.rows<{ effect: string }>(sql`select stream || ' ' || version as effect from effects order by stream, nth`);
  return rows.map(({ effect }) => effect);
}

/** Waits until a subscription has applied so many events. */
export async function applied(subscriber: Database, name: string, count: number): Promise<void> {
  await until(async () => (await subscriptionRows(subscriber)).find((row) => row.name === name)?.applied === count);
}

/** Repeats `read` until it returns something: for states of the database that no signal announces. */
export async function until<T>(read: () => Promise<T | false | undefined>): Promise<T> {
  for (;;) {
    const found = await read();
    if (found !== false && found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A signal that opens once. */
export function gate(): { readonly passed: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { passed: promise, open: resolve };
}
