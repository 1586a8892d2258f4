import type { Database, Queries, Transaction } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { leaseChannel } from "./lease-store.ts";

/** A parked event as an operator sees it. */
export interface ParkedEvent {
  readonly subscription: string;
  readonly stream: string;
  readonly version: number;
  readonly id: string;
  readonly type: string;
  /** Why it failed the last time; empty when it only waits for earlier events of its stream. */
  readonly cause: string;
  readonly attempts: number;
  /** Null with attempts: its attempts are used up. */
  readonly nextAttemptAt: Date | null;
  readonly parkedAt: Date;
}

/** Selects parked events: those that match every field; all when no field is set. */
export interface ParkedSelection {
  readonly subscription?: string;
  readonly stream?: string;
  readonly ids?: readonly string[];
}

/** The parked events in a service's database, by subscription and stream, in order. At most `limit`, 1,000 by default. */
export function listParked(queries: Queries, selection: ParkedSelection = {}, limit = 1_000): Promise<ParkedEvent[]> {
  return queries.rows<ParkedEvent>(sql`
    select split_part(subscription, '#', 1) as subscription, stream, version, id, type, cause, attempts, next_attempt_at as "nextAttemptAt", parked_at as "parkedAt"
    from parked_events where ${selected(selection)} order by 1, stream, epoch, xid, position limit ${limit}`);
}

/**
 * Has the streams of the selected events tried again now, with all attempts. The subscribing service does this in whatever process it runs, in
 * stream order and each event once; when it is not running, as soon as it starts. Returns how many events are parked in those streams.
 */
export function replayParked(database: Database, selection: ParkedSelection = {}): Promise<number> {
  return act(database, async (tx) => {
    const streams = await voidLeases(tx, selection);
    await tx.run(sql`
      update parked_events p set attempts = 0, next_attempt_at = null, announced = 0
      from unnest(${streams.subscriptions}::text[], ${streams.streams}::text[]) as s (subscription, stream)
      where p.subscription = s.subscription and p.stream = s.stream and p.attempts > 0`);
    const { waiting } = await tx.one<{ waiting: number }>(sql`
      select count(*)::int as waiting from parked_events
      where (subscription, stream) in (select * from unnest(${streams.subscriptions}::text[], ${streams.streams}::text[]))`);
    return waiting;
  });
}

/**
 * Removes the selected events without applying them; their streams go on after them. Returns how many there were. Skipping only the first events
 * of a stream has the later ones tried.
 */
export function skipParked(database: Database, selection: ParkedSelection): Promise<number> {
  return act(database, async (tx) => {
    await voidLeases(tx, selection);
    const { skipped } = await tx.one<{ skipped: number }>(sql`
      with removed as (delete from parked_events where ${selected(selection)} returning subscription),
        counts as (select subscription, count(*) as count from removed group by subscription),
        counted as (
          update subscriptions s set skipped = skipped + counts.count from counts where s.name = counts.subscription
        )
      select count(*)::int as skipped from removed`);
    return skipped;
  });
}

/** Voids the leases of the selected events' subscriptions, so that transactions under way roll back and the parked events are read again. */
async function voidLeases(tx: Transaction, selection: ParkedSelection): Promise<{ subscriptions: string[]; streams: string[] }> {
  await tx.run(sql`
    update subscriptions set fence = fence + 1, lease_owner = null, lease_until = null
    where name in (select subscription from parked_events where ${selected(selection)})`);
  const rows = await tx.rows<{ subscription: string; stream: string }>(sql`
    select distinct subscription, stream from parked_events where ${selected(selection)}`);
  return { subscriptions: rows.map(({ subscription }) => subscription), streams: rows.map(({ stream }) => stream) };
}

async function act(database: Database, work: (tx: Transaction) => Promise<number>): Promise<number> {
  const count = await database.transaction(work);
  await database.notify(leaseChannel);
  return count;
}

function selected({ subscription, stream, ids }: ParkedSelection) {
  return sql`(${subscription ?? null}::text is null or split_part(subscription, '#', 1) = ${subscription ?? null}::text)
    and (${stream ?? null}::text is null or stream = ${stream ?? null}::text)
    and (${ids ?? null}::text[] is null or id = any (${ids ?? null}::text[]))`;
}
