import type { Registry } from "@bufbuild/protobuf";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Clock } from "../../clock/clock.ts";
import { sqlState } from "../../database/database.ts";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Sql } from "../../database/sql.ts";
import { refuse } from "../../errors/refusal.ts";
import type { Refusal } from "../../errors/refusal.ts";
import type { Ids } from "../../ids/ids.ts";
import type { Call } from "../../call/call.ts";
import { implement } from "../../rpc/rpc.ts";
import type { Route } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { traceText } from "../call-for.ts";
import { eventMessages, eventSchemas } from "../event-schemas.ts";
import type { EventSchemas } from "../event-schemas.ts";
import type { EventLog, NewEvents, RecordedEvent } from "../events.ts";
import { checkEpoch } from "./log-epoch.ts";
import { readEvents } from "./read-events.ts";
import type { Wakeups } from "../wakeups.ts";

export interface EventLogNeeds {
  /** The service's name: its subscribers ask for its log by it. */
  readonly service: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  /** All contracts, so that every event can be read. */
  readonly registry: Registry;
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/** A service's log as its host holds it. */
export interface HostedEventLog extends EventLog {
  /** For other services to read it by. */
  readonly route: Route;
  /** After the migrations and before the first append: finds out whether the database has moved. */
  start(): Promise<void>;
  /** Ends waiting reads and sends what signals are still unsent. Before the rpc server stops, or waiting reads hold that up. */
  stop(): Promise<void>;
}

/** The event log of one service, in its own database. */
export function createEventLog({ service, database, clock, ids, registry, wakeups, log }: EventLogNeeds): HostedEventLog {
  const schemas = eventSchemas(eventMessages(registry));
  const reader = readEvents({ service, database, wakeups });
  const wake = () => wakeups.signal(service);
  let started = false;

  const recheckEpoch = () => {
    checkEpoch(database).catch((error: unknown) =>
      log.warn({ error, service }, "could not check whether the event log's database has moved"),
    );
  };

  return {
    async append(tx, call, streams) {
      const count = streams.reduce((sum, { events }) => sum + events.length, 0);
      if (count === 0) return;
      let recorded: number;
      try {
        recorded = await tx.run(insertion(call, streams));
      } catch (error) {
        throw isVersionTaken(error) ? versionConflict(streams, error) : error;
      }
      if (recorded !== count) throw versionConflict(streams);
      tx.afterCommit(wake);
    },
    appendSql: insertion,
    wake,
    history: (queries, stream) => history(queries, stream, schemas),
    route: implement(EventLogService, { readEvents: reader.readEvents }),
    async start() {
      if (started) return;
      await checkEpoch(database);
      // A connection that was lost may come back to a server that was restored meanwhile.
      await wakeups.attach(service, database, recheckEpoch);
      reader.start();
      started = true;
    },
    async stop() {
      if (!started) return;
      started = false;
      reader.stop();
      await wakeups.detach(service);
    },
  };

  function insertion(call: Call, streams: readonly NewEvents[]): Sql {
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
    // The lateral lookups have a limit each, or PostgreSQL makes them joins and, with a plan from when the table was small, reads it whole.
    // The order by gives rising positions within a stream.
    return sql`
      insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
      select l.epoch, greatest(pg_current_xact_id(), case when p.epoch = l.epoch then p.xid end),
        n.id, n.stream, n.version, n.type, n.data, n.actor, n.trace, n.correlation, n.causation, ${clock.now()}::timestamptz
      from (select epoch from log_epoch limit 1) l
      cross join unnest(
        ${eventIds}::text[], ${names}::text[], ${previous}::int[], ${versions}::int[],
        ${types}::text[], ${datas}::bytea[], ${calls.map((cause) => cause.actor)}::text[], ${calls.map((cause) => traceText(cause.trace))}::text[],
        ${calls.map((cause) => cause.correlation)}::text[], ${calls.map((cause) => cause.causation ?? "")}::text[]
      ) with ordinality as n (id, stream, previous, version, type, data, actor, trace, correlation, causation, nth)
      left join lateral (
        select p.epoch, p.xid from events p where p.stream = n.stream and p.version = n.previous limit 1
      ) p on true
      where n.previous = 0 or p.epoch is not null
      order by n.nth
      returning stream, version`;
  }
}

/** Whether a statement failed because an event of that stream and version is recorded already. For users of `appendSql`. */
export function isVersionTaken(error: unknown): boolean {
  return sqlState(error) === "23505" && constraintOf(error) === "events_stream_version";
}

/** The refusal for a stream that stands at another version than expected: `isVersionTaken`, or fewer rows than events. */
export function versionConflict(streams: readonly NewEvents[], cause?: unknown): Refusal {
  return refuse({
    reason: "VERSION_CONFLICT",
    code: "aborted",
    message: "It was changed meanwhile",
    details: { streams: streams.map(({ stream, expectedVersion }) => ({ stream, expectedVersion })) },
    cause,
  });
}

function constraintOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if ("constraint" in at && typeof at.constraint === "string") return at.constraint;
  return undefined;
}

/** An event's columns, without its place. */
export interface EventRow {
  readonly id: string;
  readonly stream: string;
  readonly version: number;
  readonly type: string;
  readonly data: Uint8Array;
  readonly actor: string;
  readonly trace: string;
  readonly correlation: string;
  readonly causation: string;
  readonly at: Date;
}

async function history(queries: Parameters<EventLog["history"]>[0], stream: string, schemas: EventSchemas): Promise<RecordedEvent[]> {
  const rows = await queries.rows<EventRow>(sql`
    select id, stream, version, type, data, actor, trace, correlation, causation, at
    from events where stream = ${stream} order by version`);
  return rows.map((row) => ({ ...row, data: schemas.decode(row.type, row.data) }));
}
