import type { Call } from "../../call/call.ts";
import type { Clock } from "../../clock/clock.ts";
import { sql } from "../../database/sql.ts";
import type { Sql } from "../../database/sql.ts";
import type { Ids } from "../../ids/ids.ts";
import { formatTrace } from "../../call/trace.ts";
import type { EventSchemas } from "../event-schemas.ts";
import type { NewEvents } from "../events.ts";

export interface InsertionNeeds {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly schemas: EventSchemas;
}

/** `insert into events … returning stream, version`: inserts nothing for a stream whose version is not the expected one, or that is not among those `written`. */
export function eventInsertion({ clock, ids, schemas }: InsertionNeeds, call: Call, streams: readonly NewEvents[], written?: Sql): Sql {
  const eventIds: string[] = [];
  const names: string[] = [];
  const previous: number[] = [];
  const versions: number[] = [];
  const types: string[] = [];
  const datas: Uint8Array[] = [];
  const calls: Call[] = [];
  for (const { stream, expectedVersion, events, call: cause = call } of streams)
    for (const [at, message] of events.entries()) {
      const { type, data } = schemas.encode(message);
      eventIds.push(ids.next("evt"));
      names.push(stream);
      previous.push(expectedVersion);
      versions.push(expectedVersion + at + 1);
      types.push(type);
      datas.push(data);
      calls.push(cause);
    }
  // Each lateral lookup has a limit: otherwise PostgreSQL turns it into a join and, with a plan cached when the table was small, scans the table.
  // The order by gives rising positions within a stream.
  return sql`
    insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
    select l.epoch, greatest(pg_current_xact_id(), case when p.epoch = l.epoch then p.xid end),
      n.id, n.stream, n.version, n.type, n.data, n.actor, n.trace, n.correlation, n.causation, ${clock.now()}::timestamptz
    from (select epoch from log_epoch limit 1) l
    cross join unnest(
      ${eventIds}::text[], ${names}::text[], ${previous}::int[], ${versions}::int[],
      ${types}::text[], ${datas}::bytea[], ${calls.map((cause) => cause.actor)}::text[], ${calls.map((cause) => formatTrace(cause.trace))}::text[],
      ${calls.map((cause) => cause.correlation)}::text[], ${calls.map((cause) => cause.causation ?? "")}::text[]
    ) with ordinality as n (id, stream, previous, version, type, data, actor, trace, correlation, causation, nth)
    left join lateral (
      select p.epoch, p.xid from events p where p.stream = n.stream and p.version = n.previous limit 1
    ) p on true
    where (n.previous = 0 or p.epoch is not null)${written === undefined ? sql`` : sql` and n.stream in (${written})`}
    order by n.nth
    returning stream, version`;
}
