import type { ReadEventsRequest } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { laterPosition, positionOf } from "../position.ts";
import type { Position } from "../position.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import type { EventRow } from "./event-row.ts";
import { checkEpoch } from "./log-epoch.ts";

/** Some events of a log, the position to read on from, and that of the last committed event. */
export interface LogPage {
  readonly events: readonly SourceEvent[];
  readonly next: Position;
  readonly head: Position;
}

interface Row extends Omit<EventRow, "id"> {
  readonly ahead: boolean;
  readonly head_epoch: number | null;
  readonly head_xid: string;
  readonly head_position: string;
  readonly tip_epoch: number | null;
  readonly tip_xid: string;
  readonly tip_position: string;
  /** Null in the only row when no event was found. */
  readonly id: string | null;
  readonly epoch: number;
  readonly xid: string;
  readonly position: string;
  readonly wanted: boolean;
  /** Whether it is the last row that one read scans. */
  readonly edge: boolean;
}

/**
 * Reads events after a position: only of these types (all when none is named), at most `limit`, in one statement. An event is readable once every
 * transaction that could still commit an earlier one has ended: xid < xmin, within the current epoch. Paging without that loses events. `tip` is
 * the last readable event, `head` the last of all.
 */
export async function readLog(
  database: Database,
  after: Position,
  { types, limit }: Pick<ReadEventsRequest, "types" | "limit">,
): Promise<LogPage> {
  // Each subquery with its limit is one short index scan of the primary key. Row number 10,000 is returned whatever its type, to tell
  // how far this read has scanned; it is a literal because the planner must see it.
  const rows = await database.rows<Row>(sql`
    select (${after.epoch}::int, ${after.xid}::xid8) >= (l.epoch, pg_snapshot_xmax(pg_current_snapshot())) as ahead,
      head.epoch as head_epoch, head.xid as head_xid, head.position::text as head_position,
      tip.epoch as tip_epoch, tip.xid as tip_xid, tip.position::text as tip_position,
      e.epoch, e.xid, e.position::text as position, e.wanted, e.edge,
      e.id, e.stream, e.version, e.type, e.data, e.actor, e.trace, e.correlation, e.causation, e.at
    from (select epoch from log_epoch limit 1) l
    left join lateral (
      select epoch, xid, position from events order by epoch desc, xid desc, position desc limit 1
    ) head on true
    left join lateral (
      select epoch, xid, position from events
      where (epoch, xid) < (l.epoch, pg_snapshot_xmin(pg_current_snapshot()))
      order by epoch desc, xid desc, position desc limit 1
    ) tip on true
    left join lateral (
      select *, cardinality(${types}::text[]) = 0 or type = any (${types}::text[]) as wanted, nth = 10000 as edge
      from (
        select *, row_number() over (order by epoch, xid, position) as nth from events
        where (epoch, xid, position) > (${after.epoch}::int, ${after.xid}::xid8, ${after.position}::bigint)
          and (epoch, xid) < (l.epoch, pg_snapshot_xmin(pg_current_snapshot()))
        order by epoch, xid, position limit 10000
      ) scanned
      where cardinality(${types}::text[]) = 0 or type = any (${types}::text[]) or nth = 10000
      limit ${limit}
    ) e on true
    order by e.epoch, e.xid, e.position`);
  const first = rows[0];
  if (first === undefined) throw new Error("log_epoch is empty");
  if (first.ahead) await checkEpoch(database, after);

  const found = first.id === null ? [] : rows;
  const events = found.filter((row) => row.wanted).map(eventOf);
  const last = found.at(-1);
  // A page cut short by the limit or by the scan's end continues after its last row; any other has read everything readable.
  const cutShort = last !== undefined && (found.length === limit || last.edge);
  const tip = first.tip_epoch === null ? after : { epoch: first.tip_epoch, xid: first.tip_xid, position: first.tip_position };
  const next = cutShort ? positionOf(last) : laterPosition(tip, after);
  const head = first.head_epoch === null ? after : { epoch: first.head_epoch, xid: first.head_xid, position: first.head_position };
  return { events, next, head };
}

function eventOf(row: Row): SourceEvent {
  return {
    id: row.id ?? "",
    stream: row.stream,
    version: row.version,
    type: row.type,
    data: row.data,
    actor: row.actor,
    trace: row.trace,
    correlation: row.correlation,
    causation: row.causation,
    at: row.at,
    position: positionOf(row),
  };
}
