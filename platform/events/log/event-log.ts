import type { Registry } from "@bufbuild/protobuf";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { refuse } from "../../errors/refusal.ts";
import type { Refusal } from "../../errors/refusal.ts";
import type { Ids } from "../../ids/ids.ts";
import { implement } from "../../rpc/rpc.ts";
import type { Route } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { eventMessages, eventSchemas } from "../event-schemas.ts";
import type { EventSchemas } from "../event-schemas.ts";
import type { EventLog, NewEvents, RecordedEvent } from "../events.ts";
import { isVersionTaken } from "../version-taken.ts";
import { eventInsertion } from "./event-insertion.ts";
import type { EventRow } from "./event-row.ts";
import { checkEpoch } from "./log-epoch.ts";
import { readEvents } from "./read-events.ts";
import type { Wakeups } from "../wakeups.ts";

export interface EventLogNeeds {
  /** The service's name: its subscribers address its log by it. */
  readonly service: string;
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  /** All contracts, so that every event can be read. */
  readonly registry: Registry;
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/** A service's log with its lifecycle, for the process that hosts the service. */
export interface HostedEventLog extends EventLog {
  /** Serves ReadEvents, by which subscribers read the log. */
  readonly route: Route;
  /** After the migrations and before the first append: checks whether the database has moved to another server. */
  start(): Promise<void>;
  /** Ends waiting reads and sends signals that are still unsent. Must run before the rpc server stops, which waits for open reads. */
  stop(): Promise<void>;
}

/** The event log of one service, in its own database. */
export function createEventLog({ service, database, clock, ids, registry, wakeups, log }: EventLogNeeds): HostedEventLog {
  const schemas = eventSchemas(eventMessages(registry));
  const reader = readEvents({ service, database, wakeups });
  const insertion: EventLog["appendSql"] = (call, streams, written) => eventInsertion({ clock, ids, schemas }, call, streams, written);
  const wake: EventLog["wake"] = (streams) =>
    wakeups.signal(service, streams && new Set(streams.flatMap(({ events }) => events.map((message) => schemas.typeOf(message)))));
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
      tx.afterCommit(() => wake(streams));
    },
    appendSql: insertion,
    wake,
    history: (queries, stream) => history(queries, stream, schemas),
    route: implement(EventLogService, { readEvents: reader.readEvents }),
    async start() {
      if (started) return;
      await checkEpoch(database);
      // The connection may have been reopened to a server that was restored meanwhile.
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
}

/** The refusal for a stream whose version is not the expected one: after `isVersionTaken`, or when fewer rows than events were written. */
export function versionConflict(streams: readonly NewEvents[], cause?: unknown): Refusal {
  return refuse({
    reason: "VERSION_CONFLICT",
    code: "aborted",
    message: "It was changed meanwhile",
    details: { streams: streams.map(({ stream, expectedVersion }) => ({ stream, expectedVersion })) },
    cause,
  });
}

async function history(queries: Parameters<EventLog["history"]>[0], stream: string, schemas: EventSchemas): Promise<RecordedEvent[]> {
  const rows = await queries.rows<EventRow>(sql`
    select id, stream, version, type, data, actor, trace, correlation, causation, at
    from events where stream = ${stream} order by version`);
  return rows.map((row) => ({ ...row, data: schemas.decode(row.type, row.data) }));
}
