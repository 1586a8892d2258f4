import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Checkpoint } from "../checkpoint.ts";
import { comparePositions, laterPosition } from "../position.ts";
import type { Partitioning } from "../transport/event-transport.ts";
import { remainingRecords } from "../transport/log-progress.ts";
import { partitionName, partitionOf } from "./partition-name.ts";

/**
 * Gives a subscription a row for each of `partitions` partitions. They begin at the subscription's position, so that nothing is applied again, and
 * take over its parked events; a lease of the subscription becomes void. Nothing changes when it has partitions already. Returns their number.
 */
export async function splitSubscription(
  database: Database,
  name: string,
  partitions: number,
  partitionOfStream: Partitioning["partitionOf"],
): Promise<number> {
  return database.transaction(async (tx) => {
    const row = await tx.one<{ partitions: number }>(sql`select partitions from subscriptions where name = ${name} for update`);
    if (row.partitions > 0) return row.partitions;
    const names = Array.from({ length: partitions }, (_, partition) => partitionName(name, partition));
    await tx.run(sql`
      insert into subscriptions (name, publisher, epoch, xid, position)
      select n.name, s.publisher, s.epoch, s.xid, s.position from subscriptions s cross join unnest(${names}::text[]) as n (name)
      where s.name = ${name}`);
    await tx.run(sql`
      update subscriptions set partitions = ${partitions}, fence = fence + 1, lease_owner = null, lease_until = null where name = ${name}`);
    const parked = await tx.rows<{ stream: string }>(sql`select distinct stream from parked_events where subscription = ${name}`);
    const streams = parked.map(({ stream }) => stream);
    await tx.run(sql`
      update parked_events p set subscription = s.partition
      from unnest(
        ${streams}::text[], ${streams.map((stream) => partitionName(name, partitionOfStream(stream, partitions)))}::text[]
      ) as s (stream, partition)
      where p.subscription = ${name} and p.stream = s.stream`);
    return partitions;
  });
}

/** Thrown when the partitions of a subscription cannot be joined yet. */
export class PartitionsBehind extends Error {
  constructor(name: string) {
    super(
      `${name} has been reading its events from a broker and has not applied all that was relayed: its partitions have different positions. ` +
        `Start the shop once more with the broker in KONTOR_EVENTS, stop it when all events are applied, and then start it without`,
    );
    this.name = "PartitionsBehind";
  }
}

/**
 * Joins the partitions of a subscription, so that it can read the log itself: from the position up to which all has been relayed and that every
 * partition has reached. Throws `PartitionsBehind` when one has not reached it, or is past it: events after it would be applied twice.
 */
export async function joinSubscription(database: Database, name: string, relayed: Checkpoint | undefined): Promise<void> {
  await database.transaction(async (tx) => {
    const rows = await tx.rows<Checkpoint & { readonly name: string }>(sql`
      select name, epoch, xid, position::text as position, offsets from subscriptions where split_part(name, '#', 1) = ${name} for update`);
    const partitions = rows.filter((row) => partitionOf(row.name) !== undefined);
    const own = rows.find((row) => row.name === name);
    if (own === undefined || partitions.length === 0) return;
    // Partitions that never advanced are still at the subscription's own position, where they began.
    const untouched = partitions.every((row) => comparePositions(row, own) === 0);
    if (!untouched && (relayed === undefined || !partitions.every((row) => isJoinable(row, relayed)))) throw new PartitionsBehind(name);
    const to = relayed === undefined || untouched ? own : laterPosition(own, relayed);
    await tx.run(sql`
      update subscriptions s set partitions = 0, fence = fence + 1, lease_owner = null, lease_until = null, offsets = '',
        epoch = ${to.epoch}::int, xid = ${to.xid}::xid8, position = ${to.position}::bigint,
        applied = s.applied + p.applied, skipped = s.skipped + p.skipped
      from (
        select sum(applied)::bigint as applied, sum(skipped)::bigint as skipped
        from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}
      ) p where s.name = ${name}`);
    await tx.run(
      sql`update parked_events set subscription = ${name} where split_part(subscription, '#', 1) = ${name} and subscription <> ${name}`,
    );
    await tx.run(sql`delete from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}`);
  });
}

/** Whether a partition has read all records relayed to it, and no event after the position relayed. */
function isJoinable(row: Checkpoint & { readonly name: string }, relayed: Checkpoint): boolean {
  const order = comparePositions(row, relayed);
  return order === 0 || (order < 0 && remainingRecords(row, partitionOf(row.name)!, relayed) === 0);
}
