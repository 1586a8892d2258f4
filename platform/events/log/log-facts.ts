import type { Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Sql } from "../../database/sql.ts";
import { beginning } from "../position.ts";
import type { Position } from "../position.ts";

/** The position of an event, and its stream. */
export interface StreamPosition extends Position {
  readonly stream: string;
}

/** One version of a stream. */
export interface StreamVersion {
  readonly stream: string;
  readonly version: number;
}

/** An event as it is stored: its bytes are not decoded. */
export interface StoredEvent extends StreamVersion {
  readonly type: string;
  readonly data: Uint8Array;
}

/** The position of a log's last event; the beginning when there is none. */
export async function logHead(log: Queries): Promise<Position> {
  const row = await log.maybe<Position>(
    sql`select epoch, xid, position::text as position from events order by epoch desc, xid desc, events.position desc limit 1`,
  );
  return row ?? beginning;
}

/** Events of these types behind a position and up to another, in the log's order. */
export function eventsBetween(
  log: Queries,
  { after, to, types }: { readonly after: Position; readonly to?: Position; readonly types: readonly string[] },
  limit: number,
): Promise<StreamPosition[]> {
  return log.rows(sql`
    select epoch, xid, position::text as position, stream from events
    where ${isBehind(after)} and ${to === undefined ? sql`true` : isUpTo(to)} and type = any(${types}::text[])
    order by epoch, xid, events.position limit ${limit}`);
}

/** How many of the next events, at most `limit`, have each type, with the position of the last of them; empty when there are none. */
export function countsByType(
  log: Queries,
  { after, to }: { readonly after: Position; readonly to: Position },
  limit: number,
): Promise<(Position & { readonly type: string; readonly count: number })[]> {
  return log.rows(sql`
    with page as (
      select epoch, xid, position, type from events where ${isBehind(after)} and ${isUpTo(to)} order by epoch, xid, position limit ${limit}
    )
    select counts.type, counts.count, last.epoch, last.xid, last.position::text as position
    from (select type, count(*)::int as count from page group by type) counts
    cross join (select epoch, xid, position from page order by epoch desc, xid desc, position desc limit 1) last`);
}

/**
 * The versions, among the next ones by stream and version, that do not follow on the one before: a gap, or an earlier position. Pages overlap
 * by one event, so that each has its predecessor beside it; `after` is the last one of the page before.
 */
export async function versionsOutOfOrder(
  log: Queries,
  after: StreamVersion,
  limit: number,
): Promise<{ readonly found: number; readonly last: StreamVersion | undefined; readonly wrong: readonly StreamVersion[] }> {
  const { found, stream, version, wrong } = await log.one<{
    found: number;
    stream: string | null;
    version: number | null;
    wrong: readonly StreamVersion[] | null;
  }>(sql`
    with page as (
      select stream, version, epoch, xid, position from events
      where (stream, version) >= (${after.stream}, ${after.version}::int) order by stream, version limit ${limit}
    ), beside as (
      select stream, version, row_number() over (order by stream, version) as nth, lag(stream) over w as stream_before, lag(version) over w as version_before,
        (epoch, xid, position) > (lag(epoch) over w, lag(xid) over w, lag(position) over w) as later
      from page window w as (order by stream, version)
    ), last as (select stream, version from page order by stream desc, version desc limit 1)
    select (select count(*) from page)::int as found, (select stream from last) as stream, (select version from last) as version,
      (select jsonb_agg(jsonb_build_object('stream', stream, 'version', version)) from beside
        where (nth > 1 or ${after.stream} = '') and case when stream_before is distinct from stream then version <> 1 else version <> version_before + 1 or not later end
      ) as wrong`);
  return { found, last: stream === null || version === null ? undefined : { stream, version }, wrong: wrong ?? [] };
}

/** How many events of these types each stream has from a version on, up to a position: only streams that have some. */
export async function countsByStream(
  log: Queries,
  from: readonly StreamVersion[],
  { to, types }: { readonly to: Position; readonly types: readonly string[] },
): Promise<Map<string, number>> {
  const rows = await log.rows<{ stream: string; count: number }>(sql`
    select w.stream, count(*)::int as count
    from unnest(${from.map(({ stream }) => stream)}::text[], ${from.map(({ version }) => version)}::int[]) as w (stream, version)
    join events on events.stream = w.stream and events.version >= w.version
    where type = any(${types}::text[]) and ${isUpTo(to)} group by w.stream`);
  return new Map(rows.map(({ stream, count }) => [stream, count]));
}

/** The last event of each stream up to a position of its own: only streams that have one. */
export function lastEventsUpTo(log: Queries, streams: readonly StreamPosition[]): Promise<StoredEvent[]> {
  return log.rows(sql`
    select w.stream, e.version, e.type, e.data
    from unnest(
      ${streams.map(({ stream }) => stream)}::text[], ${streams.map(({ epoch }) => epoch)}::int[], ${streams.map(({ xid }) => xid)}::xid8[],
      ${streams.map(({ position }) => position)}::bigint[]
    ) as w (stream, epoch, xid, position) cross join lateral (
      select version, type, data from events
      where stream = w.stream and (epoch, xid, position) <= (w.epoch, w.xid, w.position)
      order by version desc limit 1
    ) e`);
}

/** The ids of the events of a type in these streams. */
export function eventsOfType(log: Queries, type: string, streams: readonly string[]): Promise<{ stream: string; id: string }[]> {
  return log.rows(sql`select stream, id from events where stream = any(${streams}::text[]) and type = ${type}`);
}

/**
 * Joins to a statement over a service's own table the last event of the stream that a column names, as `e`, with its version, type and data:
 * nulls for a stream without events. State and event are then of one moment.
 */
export function joinLastEvent(stream: Sql): Sql {
  return sql`left join lateral (select version, type, data from events where stream = ${stream} order by version desc limit 1) e on true`;
}

/** The same with all events of the stream, as `history`: their versions and types, as arrays in the order of versions. */
export function joinHistory(stream: Sql): Sql {
  return sql`left join lateral (
    select array_agg(version order by version) as versions, array_agg(type order by version) as types from events where stream = ${stream}
  ) history on true`;
}

/** A condition: the stream that a column names has an event of this type. */
export function hasEvent(stream: Sql, type: string): Sql {
  return sql`exists (select from events where stream = ${stream} and type = ${type})`;
}

function isBehind({ epoch, xid, position }: Position): Sql {
  return sql`(epoch, xid, position) > (${epoch}::int, ${xid}::xid8, ${position}::bigint)`;
}

function isUpTo({ epoch, xid, position }: Position): Sql {
  return sql`(epoch, xid, position) <= (${epoch}::int, ${xid}::xid8, ${position}::bigint)`;
}
