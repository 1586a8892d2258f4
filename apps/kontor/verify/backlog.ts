import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { beginning, comparePlaces } from "@kontor/platform/events/place.ts";
import type { Place } from "@kontor/platform/events/place.ts";
import { houseSubscriptions } from "./house-subscriptions.ts";
import type { HouseSubscription } from "./house-subscriptions.ts";

/** Which events have not had their effect yet. */
export interface Backlog {
  /** Whether an event of this stream is still to be applied by the subscription: what follows from it cannot be asked for yet. */
  waits(subscription: string, stream: string): boolean;
}

interface Standing extends Place {
  readonly subscription: HouseSubscription;
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
        new Set(houseSubscriptions.map(({ publisher }) => publisher)),
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
    return before.subscription === now.subscription && comparePlaces(before, now) === 0;
  }
  function stuck({ subscription: { name, publisher }, epoch, xid, position }: Standing): string {
    return `${name} stands at ${epoch}/${xid}/${position} of ${publisher}'s log and has applied nothing of what follows for ${waitMs / 1000} s`;
  }
}

/** Reads which events wait, behind the subscriptions' places or parked to be tried again. */
export async function readBacklog(databases: ReadonlyMap<string, Queries>): Promise<Backlog> {
  const waiting = new Map<string, Set<string>>();
  for (const standing of await standings(databases)) {
    const { name, subscriber, publisher, types } = standing.subscription;
    const streams = new Set<string>();
    let after: Place = standing;
    for (;;) {
      const rows: readonly (Place & { readonly stream: string })[] = await databases.get(publisher)!.rows(sql`
        select epoch, xid, position::text as position, stream from events
        where (epoch, xid, position) > (${after.epoch}::int, ${after.xid}::xid8, ${after.position}::bigint) and type = any(${types}::text[])
        order by epoch, xid, events.position limit ${pageSize}`);
      for (const { stream } of rows) streams.add(subjectOf(stream));
      const last = rows.at(-1);
      if (last === undefined || rows.length < pageSize) break;
      after = last;
    }
    // One whose tries are used up waits for an operator: what it keeps from happening is missing.
    const parked = await databases.get(subscriber)!.rows<{ stream: string }>(sql`
      select stream from (
        select distinct on (stream) stream, attempts, next_attempt_at from parked_events where subscription = ${name}
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
    houseSubscriptions.map(async (subscription): Promise<Standing | undefined> => {
      const database = databases.get(subscription.subscriber);
      if (database === undefined || !databases.has(subscription.publisher)) return undefined;
      const row = await database.maybe<Place>(
        sql`select epoch, xid, position::text as position from subscriptions where name = ${subscription.name}`,
      );
      return { ...(row ?? beginning), subscription };
    }),
  );
  return found.filter((standing) => standing !== undefined);
}

async function headOf(log: Queries | undefined): Promise<Place> {
  const row = await log?.maybe<Place>(
    sql`select epoch, xid, position::text as position from events order by epoch desc, xid desc, events.position desc limit 1`,
  );
  return row ?? beginning;
}

async function anyBetween(log: Queries, { subscription: { types }, ...after }: Standing, to: Place): Promise<boolean> {
  const { any } = await log.one<{ any: boolean }>(sql`
    select exists (
      select from events
      where (epoch, xid, position) > (${after.epoch}::int, ${after.xid}::xid8, ${after.position}::bigint)
        and (epoch, xid, position) <= (${to.epoch}::int, ${to.xid}::xid8, ${to.position}::bigint) and type = any(${types}::text[])
    ) as any`);
  return any;
}
