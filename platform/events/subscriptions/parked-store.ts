import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { describeError } from "../../telemetry/describe-error.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import type { EventRow } from "../log/event-row.ts";
import type { Position } from "../position.ts";
import { LeaseLost } from "./lease-store.ts";
import type { Lease } from "./lease-store.ts";

const causeLengthMax = 1_000;

/** An event to be parked: one that failed, or one that must wait for earlier events of its stream. */
export interface EventToPark {
  readonly event: SourceEvent;
  readonly failure?: { readonly error: unknown; readonly nextAttemptAt: Date | null };
}

/** The text stored as the cause of a failure: without the messages of errors that may quote personal data. */
export function parkedCause(error: unknown): string {
  const { type, reason, code, message } = describeError(error);
  return `${type}${reason === undefined ? "" : ` ${reason}`}${code === undefined ? "" : ` ${code}`}: ${message}`.slice(0, causeLengthMax);
}

/** Writes parked rows, in the transaction that moves the checkpoint past them. */
export async function park(queries: Queries, subscription: string, toPark: readonly EventToPark[]): Promise<void> {
  const of = <T>(pick: (parked: EventToPark) => T): T[] => toPark.map(pick);
  await queries.run(sql`
    insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at,
      cause, attempts, next_attempt_at)
    select ${subscription}::text, * from unnest(
      ${of(({ event }) => event.stream)}::text[], ${of(({ event }) => event.position.epoch)}::int[], ${of(({ event }) => event.position.xid)}::xid8[],
      ${of(({ event }) => event.position.position)}::bigint[], ${of(({ event }) => event.id)}::text[], ${of(({ event }) => event.version)}::int[],
      ${of(({ event }) => event.type)}::text[], ${of(({ event }) => event.data)}::bytea[], ${of(({ event }) => event.actor)}::text[],
      ${of(({ event }) => event.trace)}::text[], ${of(({ event }) => event.correlation)}::text[], ${of(({ event }) => event.causation)}::text[],
      ${of(({ event }) => event.at)}::timestamptz[], ${of(({ failure }) => (failure === undefined ? "" : parkedCause(failure.error)))}::text[],
      ${of(({ failure }) => (failure === undefined ? 0 : 1))}::int[], ${of(({ failure }) => failure?.nextAttemptAt ?? null)}::timestamptz[])`);
}

/** The first parked event of a stream. */
export interface FirstParkedEvent {
  readonly stream: string;
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
}

/** The first parked event of each stream of a subscription. */
export function firstParkedEvents(queries: Queries, subscription: string): Promise<FirstParkedEvent[]> {
  return queries.rows<FirstParkedEvent>(sql`
    select distinct on (stream) stream, attempts, next_attempt_at as "nextAttemptAt"
    from parked_events where subscription = ${subscription} order by stream, epoch, xid, position`);
}

/** The columns of a parked event. */
export interface ParkedRow extends EventRow, Position {
  readonly attempts: number;
}

/** The next parked events of a stream, in order. */
export async function parkedEvents(
  queries: Queries,
  subscription: string,
  stream: string,
  limit: number,
): Promise<(SourceEvent & { attempts: number })[]> {
  const rows = await queries.rows<ParkedRow>(sql`
    select epoch, xid, position::text as position, id, stream, version, type, data, actor, trace, correlation, causation, at, attempts
    from parked_events where subscription = ${subscription} and stream = ${stream}
    order by epoch, xid, parked_events.position limit ${limit}`); // the column, not its text of the same name, which sorts 10 before 9
  return rows.map(({ epoch, xid, position, ...event }) => ({ ...event, position: { epoch, xid, position } }));
}

/** Removes the `count` parked events of a stream up to `to`, which have been applied. Throws `LeaseLost` when the row's fence is another. */
export async function removeParked(queries: Queries, lease: Lease, stream: string, to: Position, count: number): Promise<void> {
  const counted = await queries.run(sql`
    with done as (
      delete from parked_events
      where subscription = ${lease.name} and stream = ${stream}
        and (epoch, xid, position) <= (${to.epoch}::int, ${to.xid}::xid8, ${to.position}::bigint)
      returning 1
    )
    update subscriptions set applied = applied + ${count}::int
    where name = ${lease.name} and fence = ${lease.fence}::bigint and (select count(*) from done) = ${count}::int`);
  if (counted !== 1) throw new LeaseLost(lease.name);
}

/** Stores that a parked event failed once more. Throws `LeaseLost` when the row's fence is another. */
export async function recordFailure(
  database: Database,
  lease: Lease,
  event: SourceEvent,
  failure: NonNullable<EventToPark["failure"]>,
): Promise<void> {
  const noted = await database.run(sql`
    update parked_events set attempts = attempts + 1, cause = ${parkedCause(failure.error)}, next_attempt_at = ${failure.nextAttemptAt}::timestamptz
    where subscription = ${lease.name} and stream = ${event.stream}
      and epoch = ${event.position.epoch}::int and xid = ${event.position.xid}::xid8 and position = ${event.position.position}::bigint
      and exists (select from subscriptions where name = ${lease.name} and fence = ${lease.fence}::bigint)`);
  if (noted !== 1) throw new LeaseLost(lease.name);
}
