import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { describeError } from "../../telemetry/describe-error.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import type { EventRow } from "../log/event-log.ts";
import { baseName } from "./partition-name.ts";
import type { Place } from "../position.ts";
import { LeaseLost } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";

const causeLengthMax = 1_000;

/** An event to be parked: one that failed, or one that must wait for those before it. */
export interface Parking {
  readonly event: SourceEvent;
  readonly failure?: { readonly error: unknown; readonly nextAttemptAt: Date | null };
}

/** What a parked row says of its cause: never personal data, which messages may quote. */
export function parkedCause(error: unknown): string {
  const { type, reason, code, message } = describeError(error);
  return `${type}${reason === undefined ? "" : ` ${reason}`}${code === undefined ? "" : ` ${code}`}: ${message}`.slice(0, causeLengthMax);
}

/** Writes parked rows, in the transaction that moves the place over them. */
export async function park(queries: Queries, subscription: string, parkings: readonly Parking[]): Promise<void> {
  const of = <T>(pick: (parking: Parking) => T): T[] => parkings.map(pick);
  await queries.run(sql`
    insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at,
      cause, attempts, next_attempt_at)
    select ${subscription}::text, * from unnest(
      ${of(({ event }) => event.stream)}::text[], ${of(({ event }) => event.place.epoch)}::int[], ${of(({ event }) => event.place.xid)}::xid8[],
      ${of(({ event }) => event.place.position)}::bigint[], ${of(({ event }) => event.id)}::text[], ${of(({ event }) => event.version)}::int[],
      ${of(({ event }) => event.type)}::text[], ${of(({ event }) => event.data)}::bytea[], ${of(({ event }) => event.actor)}::text[],
      ${of(({ event }) => event.trace)}::text[], ${of(({ event }) => event.correlation)}::text[], ${of(({ event }) => event.causation)}::text[],
      ${of(({ event }) => event.at)}::timestamptz[], ${of(({ failure }) => (failure === undefined ? "" : parkedCause(failure.error)))}::text[],
      ${of(({ failure }) => (failure === undefined ? 0 : 1))}::int[], ${of(({ failure }) => failure?.nextAttemptAt ?? null)}::timestamptz[])`);
}

/** The first parked event of a stream. */
export interface ParkedHead {
  readonly stream: string;
  readonly attempts: number;
  readonly nextAttemptAt: Date | null;
}

/** The first parked event of each stream of a subscription. */
export function parkedHeads(queries: Queries, subscription: string): Promise<ParkedHead[]> {
  return queries.rows<ParkedHead>(sql`
    select distinct on (stream) stream, attempts, next_attempt_at as "nextAttemptAt"
    from parked_events where subscription = ${subscription} order by stream, epoch, xid, position`);
}

interface ParkedRow extends EventRow, Place {
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
    order by epoch, xid, parked_events.position limit ${limit}`); // the column: the text of that name puts 10 before 9
  return rows.map(({ epoch, xid, position, ...event }) => ({ ...event, place: { epoch, xid, position } }));
}

/** Removes the stream's parked events up to `to`, which have been applied, and counts them. Throws `LeaseLost` under another fence. */
export async function unpark(queries: Queries, lease: Lease, stream: string, to: Place, count: number): Promise<void> {
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

/** Writes down that a parked event failed once more. Throws `LeaseLost` under another fence. */
export async function noteFailure(
  database: Database,
  lease: Lease,
  event: SourceEvent,
  failure: NonNullable<Parking["failure"]>,
): Promise<void> {
  const noted = await database.run(sql`
    update parked_events set attempts = attempts + 1, cause = ${parkedCause(failure.error)}, next_attempt_at = ${failure.nextAttemptAt}::timestamptz
    where subscription = ${lease.name} and stream = ${event.stream}
      and epoch = ${event.place.epoch}::int and xid = ${event.place.xid}::xid8 and position = ${event.place.position}::bigint
      and exists (select from subscriptions where name = ${lease.name} and fence = ${lease.fence}::bigint)`);
  if (noted !== 1) throw new LeaseLost(lease.name);
}

/** A parked event as it is made known to others: when it first fails, and again when its tries are used up. */
export interface DeadLetter {
  readonly subscription: string;
  /** The row that it is parked under. */
  readonly row: string;
  readonly event: SourceEvent;
  readonly cause: string;
  readonly attempts: number;
  readonly givenUp: boolean;
}

/** Those that have not been made known yet, in order. */
export async function unannounced(queries: Queries, limit: number): Promise<DeadLetter[]> {
  const rows = await queries.rows<ParkedRow & { row: string; cause: string; givenUp: boolean }>(sql`
    select subscription as row, epoch, xid, position::text as position, id, stream, version, type, data, actor, trace, correlation, causation, at,
      cause, attempts, next_attempt_at is null as "givenUp"
    from parked_events where announced < attempts and (announced = 0 or next_attempt_at is null)
    order by subscription, stream, epoch, xid, parked_events.position limit ${limit}`);
  return rows.map(({ row, cause, attempts, givenUp, epoch, xid, position, ...event }) => ({
    subscription: baseName(row),
    row,
    cause,
    attempts,
    givenUp,
    event: { ...event, place: { epoch, xid, position } },
  }));
}

/** Writes down that they have been made known. */
export async function noteAnnounced(queries: Queries, letters: readonly DeadLetter[]): Promise<void> {
  await queries.run(sql`
    update parked_events p set announced = a.attempts
    from unnest(
      ${letters.map(({ row }) => row)}::text[], ${letters.map(({ event }) => event.id)}::text[], ${letters.map(({ attempts }) => attempts)}::int[]
    ) as a (subscription, id, attempts)
    where p.subscription = a.subscription and p.id = a.id`);
}
