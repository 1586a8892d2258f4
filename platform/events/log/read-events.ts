import { performance } from "node:perf_hooks";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { EventLogService, EventSchema, ReadEventsRequest } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Call } from "../../call/call.ts";
import type { Implementation } from "../../rpc/rpc.ts";
import type { EventRow } from "./event-log.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import { checkEpoch } from "./log-epoch.ts";
import { beginning, comparePlaces, laterPlace } from "../position.ts";
import type { Place } from "../position.ts";
import { readRelayed } from "./relay-checkpoint.ts";
import { Waker } from "../waker.ts";
import type { Wakeups } from "../wakeups.ts";

/** Some events of a log, where to read on, and the last event committed. */
export interface LogPage {
  readonly events: readonly SourceEvent[];
  readonly next: Place;
  readonly head: Place;
}

interface ReaderNeeds {
  readonly service: string;
  readonly database: Database;
  readonly wakeups: Wakeups;
}

/** A waiting read answers this much before its deadline. */
const marginMs = 200;
/** How long the log is let alone after a look in vain: there may be many events that are not wanted. */
const restMsMin = 10;
const restMsMax = 50;

/** The implementation of ReadEvents over the log in `database`. `stop` ends the reads that wait. */
export function readEvents({
  service,
  database,
  wakeups,
}: ReaderNeeds): Implementation<typeof EventLogService> & { start(): void; stop(): void } {
  const waiting = new Set<Waker>();
  let stopped = false;

  async function readPatiently(request: ReadEventsRequest, after: Place, call: Call): Promise<LogPage> {
    if (request.waitMs === 0 || stopped) return readLog(database, after, request);
    const waker = new Waker();
    const wake = () => waker.raise();
    const close = () => waker.close();
    const unlisten = wakeups.listen(service, wake);
    waiting.add(waker);
    call.signal.addEventListener("abort", close, { once: true });
    const endsMs = performance.now() + Math.min(request.waitMs, call.remainingMs() - marginMs);
    try {
      let from = after;
      let restMs = 0;
      for (;;) {
        waker.lower();
        const answer = await readLog(database, from, request);
        const leftMs = endsMs - performance.now();
        if (answer.events.length > 0 || leftMs <= 0 || call.signal.aborted || waker.closed) return answer;
        from = answer.next;
        await waker.pause(Math.min(restMs, leftMs));
        // What is there and may not be read yet becomes so without a signal.
        const hidden = comparePlaces(answer.head, answer.next) > 0;
        if (!hidden) await waker.wait(leftMs);
        restMs = hidden ? Math.min(Math.max(restMs * 2, restMsMin), restMsMax) : restMsMin;
      }
    } finally {
      unlisten();
      waiting.delete(waker);
      call.signal.removeEventListener("abort", close);
    }
  }

  return {
    async readEvents(request, call) {
      const after = request.after ?? beginning;
      const page = await readPatiently(request, after, call);
      const relayed = request.withRelayed ? await readRelayed(database) : undefined;
      const answer = { ...page, events: page.events.map(eventMessage) };
      return relayed === undefined ? answer : { ...answer, relayed: { place: placeOf(relayed), mark: relayed.mark } };
    },
    start() {
      stopped = false;
    },
    stop() {
      stopped = true;
      for (const waker of waiting) waker.close();
    },
  };
}

interface Row extends Omit<EventRow, "id"> {
  readonly ahead: boolean;
  readonly head_epoch: number | null;
  readonly head_xid: string;
  readonly head_position: string;
  readonly tip_epoch: number | null;
  readonly tip_xid: string;
  readonly tip_position: string;
  /** Null in the one row that comes when nothing was found. */
  readonly id: string | null;
  readonly epoch: number;
  readonly xid: string;
  readonly position: string;
  readonly wanted: boolean;
  /** The farthest that one read looks. */
  readonly edge: boolean;
}

/**
 * Reads events behind a place: only of these types (all when none is named), at most `limit`. One statement. An event may be read once every transaction that could still commit an earlier one has ended: xid < xmin, within the
 * current epoch. Paging without that loses events. `tip` is the last such event, `head` the last of all.
 */
export async function readLog(
  database: Database,
  after: Place,
  { types, limit }: Pick<ReadEventsRequest, "types" | "limit">,
): Promise<LogPage> {
  // Each subquery with its limit is one short walk along the primary key. The row that is number 10,000 comes whatever its type, to
  // say how far this read has looked; as a literal, because the planner must see it.
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
  // An answer cut short, by its limit or by how much was looked at, goes on behind its last row; any other has seen all that may be read.
  const cutShort = last !== undefined && (found.length === limit || last.edge);
  const tip = first.tip_epoch === null ? after : { epoch: first.tip_epoch, xid: first.tip_xid, position: first.tip_position };
  const next = cutShort ? placeOf(last) : laterPlace(tip, after);
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
    place: placeOf(row),
  };
}

function eventMessage({ at, place, ...event }: SourceEvent): MessageInitShape<typeof EventSchema> {
  return { ...event, at: timestampFromDate(at), cursor: place };
}

function placeOf({ epoch, xid, position }: Place): Place {
  return { epoch, xid, position };
}
