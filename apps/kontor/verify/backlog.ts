import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { partOf, partOfStream } from "@kontor/platform/events/partitions.ts";
import { beginning, comparePlaces } from "@kontor/platform/events/place.ts";
import type { Place, Stand } from "@kontor/platform/events/place.ts";
import { reachedPlace } from "@kontor/platform/events/reach.ts";
import { readRelayed } from "@kontor/platform/events/relayed.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import type { KnownSubscription } from "./known-subscriptions.ts";

/** Which events have not had their effect yet. */
export interface Backlog {
  /** Whether an event of this stream is still to be applied by the subscription: what follows from it cannot be asked for yet. */
  waits(subscription: string, stream: string): boolean;
}

/** Where a subscription stands, or one of its parts. */
interface Standing extends Place {
  readonly subscription: KnownSubscription;
  /** Absent when it is whole. */
  readonly part?: { readonly nth: number; readonly of: number };
}

const pollMs = 100;
const pageSize = 10_000;

/**
 * Waits until every subscription has passed what is in its publisher's log now, at most `waitMs`. Gives those that have not moved at all
 * in that time although there was something to apply, in words.
 */
export async function waitForSubscribers(databases: ReadonlyMap<string, Queries>, waitMs: number): Promise<string[]> {
  const untilMs = performance.now() + waitMs;
  const heads = new Map(
    await Promise.all(
      Array.from(
        new Set(knownSubscriptions.map(({ publisher }) => publisher)),
        async (publisher) => [publisher, await headOf(databases.get(publisher))] as const,
      ),
    ),
  );
  const first = await standings(databases);
  for (let now = first; ; now = await standings(databases)) {
    const behind: Standing[] = [];
    for (const standing of now) {
      const head = heads.get(standing.subscription.publisher)!;
      if (comparePlaces(standing, head) < 0 && (await anyBetween(databases.get(standing.subscription.publisher)!, standing, head)))
        behind.push(standing);
    }
    if (behind.length === 0) return [];
    if (performance.now() + pollMs >= untilMs)
      return behind.filter((standing) => first.some((before) => unmoved(before, standing))).map(stuck);
    await sleep(pollMs);
  }

  function unmoved(before: Standing, now: Standing): boolean {
    return before.subscription === now.subscription && before.part?.nth === now.part?.nth && comparePlaces(before, now) === 0;
  }
  function stuck({ subscription: { name, publisher }, epoch, xid, position }: Standing): string {
    return `${name} stands at ${epoch}/${xid}/${position} of ${publisher}'s log and has applied nothing of what follows for ${waitMs / 1000} s`;
  }
}

/** Reads which events wait, behind the subscriptions' places or parked to be tried again. */
export async function readBacklog(databases: ReadonlyMap<string, Queries>): Promise<Backlog> {
  const waiting = new Map<string, Set<string>>();
  for (const standing of await standings(databases)) {
    const { name, subscriber, publisher } = standing.subscription;
    const streams = waiting.get(name) ?? new Set<string>();
    for await (const stream of streamsBehind(databases.get(publisher)!, standing)) streams.add(subjectOf(stream));
    // One whose tries are used up waits for an operator: what it keeps from happening is missing.
    const parked = await databases.get(subscriber)!.rows<{ stream: string }>(sql`
      select stream from (
        select distinct on (stream) stream, attempts, next_attempt_at from parked_events where split_part(subscription, '#', 1) = ${name}
        order by stream, epoch, xid, position
      ) heads where attempts = 0 or next_attempt_at is not null`);
    for (const { stream } of parked) streams.add(subjectOf(stream));
    waiting.set(name, streams);
  }
  return { waits: (subscription, stream) => waiting.get(subscription)?.has(stream) === true };
}

/** What the events of a stream are about: inventory's refused claims have streams of their own beside the order's. */
function subjectOf(stream: string): string {
  return stream.startsWith("claim:") ? stream.slice("claim:".length) : stream;
}

/** Where the subscriptions stand whose subscriber and publisher are among the databases. */
async function standings(databases: ReadonlyMap<string, Queries>): Promise<Standing[]> {
  const found = await Promise.all(
    knownSubscriptions.map(async (subscription): Promise<Standing[]> => {
      const [database, log] = [databases.get(subscription.subscriber), databases.get(subscription.publisher)];
      if (database === undefined || log === undefined) return [];
      const rows = await database.rows<Stand & { name: string }>(sql`
        select name, epoch, xid, position::text as position, mark from subscriptions where split_part(name, '#', 1) = ${subscription.name}`);
      const parts = rows.filter(({ name }) => partOf(name) !== undefined);
      if (parts.length === 0) return [{ ...(rows[0] ?? beginning), subscription }];
      const relayed = await readRelayed(log);
      return parts.map((row) => {
        const nth = partOf(row.name)!;
        return { ...reachedPlace(row, nth, relayed), subscription, part: { nth, of: parts.length } };
      });
    }),
  );
  return found.flat();
}

async function headOf(log: Queries | undefined): Promise<Place> {
  const row = await log?.maybe<Place>(
    sql`select epoch, xid, position::text as position from events order by epoch desc, xid desc, events.position desc limit 1`,
  );
  return row ?? beginning;
}

/** The streams of the events that a subscription, or its part, has still to look at: one after the other, some several times. */
async function* streamsBehind(log: Queries, { subscription: { types }, part, ...from }: Standing, to?: Place): AsyncGenerator<string> {
  for (let after: Place = from; ;) {
    const rows: readonly (Place & { readonly stream: string })[] = await log.rows(sql`
      select epoch, xid, position::text as position, stream from events
      where (epoch, xid, position) > (${after.epoch}::int, ${after.xid}::xid8, ${after.position}::bigint) and type = any(${types}::text[])
      order by epoch, xid, events.position limit ${pageSize}`);
    for (const row of rows)
      if (to !== undefined && comparePlaces(row, to) > 0) return;
      else if (part === undefined || partOfStream(row.stream, part.of) === part.nth) yield row.stream;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    after = last;
  }
}

async function anyBetween(log: Queries, after: Standing, to: Place): Promise<boolean> {
  for await (const _ of streamsBehind(log, after, to)) return true;
  return false;
}
