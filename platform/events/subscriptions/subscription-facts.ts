import type { Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Sql } from "../../database/sql.ts";
import type { Position } from "../position.ts";
import { partitionName } from "./partition-name.ts";

/** The streams whose first parked event is still to be tried: those whose attempts are used up wait for an operator. */
export async function retriedStreams(subscriber: Queries, subscription: string): Promise<string[]> {
  const rows = await subscriber.rows<{ stream: string }>(sql`
    select stream from (
      select distinct on (stream) stream, attempts, next_attempt_at from parked_events where split_part(subscription, '#', 1) = ${subscription}
      order by stream, epoch, xid, position
    ) heads where attempts = 0 or next_attempt_at is not null`);
  return rows.map(({ stream }) => stream);
}

/** How many events a subscription has parked, and of how many the attempts are used up. */
export function parkedCounts(
  subscriber: Queries,
  subscription: string,
): Promise<{ readonly parked: number; readonly attemptsUsedUp: number }> {
  return subscriber.one(sql`
    select count(*)::int as parked, count(*) filter (where attempts > 0 and next_attempt_at is null)::int as "attemptsUsedUp"
    from parked_events where split_part(subscription, '#', 1) = ${subscription}`);
}

/** The parked events of one stream, beside the checkpoint of the row that they are parked under: both of one moment. */
export interface ParkedStream extends Position {
  readonly stream: string;
  /** The first version parked. */
  readonly first: number;
  readonly parked: number;
  /** Whether the versions rise in the log's order. */
  readonly inOrder: boolean;
  /** How many events of the whole subscription were ever skipped. */
  readonly skipped: number;
}

/** What a subscription's row ("orders.claims", or "orders.claims#3" for a partition of it) has parked, by stream: at most `limit`. */
export function parkedStreams(subscriber: Queries, row: string, limit: number): Promise<ParkedStream[]> {
  return subscriber.rows(sql`
    select p.stream, p.first, p.parked, p.in_order as "inOrder", s.epoch, s.xid, s.position::text as position,
      (select sum(skipped) from subscriptions where split_part(name, '#', 1) = split_part(s.name, '#', 1))::float8 as skipped
    from subscriptions s join (
      select subscription, stream, min(version) as first, count(*)::int as parked, bool_and(rising) as in_order
      from (
        select subscription, stream, version,
          coalesce(version > lag(version) over (partition by subscription, stream order by epoch, xid, position), true) as rising
        from parked_events where subscription = ${row}
      ) ordered group by subscription, stream
    ) p on p.subscription = s.name limit ${limit}`);
}

/**
 * A table for a statement of the subscriber over what it derives from events: for each stream, as `stream`, the checkpoint of what reads
 * it (`epoch`, `xid`, `position`), and whether the stream is `parked`. What was derived and how far it was read are then of one moment.
 */
export async function checkpointsOf(subscriber: Queries, subscription: string, streams: readonly string[]): Promise<Sql> {
  const row = await subscriber.maybe<{ partitions: number }>(sql`select partitions from subscriptions where name = ${subscription}`);
  const partitions = row?.partitions ?? 0;
  const rows = partitions === 0 ? streams.map(() => subscription) : await partitionRows(subscription, streams, partitions);
  return sql`(
    select w.stream, s.epoch, s.xid, s.position,
      exists (select from parked_events p where p.subscription = s.name and p.stream = w.stream) as parked
    from unnest(${streams}::text[], ${rows}::text[]) as w (stream, reader) join subscriptions s on s.name = w.reader
  )`;
}

async function partitionRows(subscription: string, streams: readonly string[], partitions: number): Promise<string[]> {
  // The broker's client takes a while to load, and only partitions need it.
  const { partitionOfStream } = await import("../kafka/partition-of-stream.ts");
  return streams.map((stream) => partitionName(subscription, partitionOfStream(stream, partitions)));
}
