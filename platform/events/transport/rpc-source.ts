import type { DescMessage } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { rootCall } from "../../call/call.ts";
import { eventTypeOf } from "../../contract/contract.ts";
import type { Clients } from "../../rpc/rpc.ts";
import { comparePositions, positionOf } from "../position.ts";
import type { Position } from "../position.ts";
import type { EventSource, SourceEvent } from "./event-source.ts";
import type { LogProgress } from "./log-progress.ts";

const readTimeoutMs = 10_000;

/** Reads a publisher's log through its own rpc, in this process or another. */
export function rpcSource(clients: Clients, service: string, publisher: string, schemas: readonly DescMessage[]): EventSource {
  const client = clients.of(publisher, EventLogService);
  const types = schemas.map(eventTypeOf);
  return {
    async read(after, limit) {
      const { events, next, head } = await client.readEvents(
        { after: positionOf(after), types, limit },
        rootCall({ caller: service, timeoutMs: readTimeoutMs }),
      );
      if (next === undefined || head === undefined) throw new Error(`ReadEvents of ${publisher} responded without a position`);
      const behind = comparePositions(head, next) <= 0 ? "nothing" : events.length === limit ? "more" : "hidden";
      return { events: events.map(sourceEvent), next: { ...positionOf(next), offsets: "" }, behind };
    },
  };
}

/** Reads the head of a publisher's log and, when `withRelayed` is set and there is a relay, how far the log has been relayed. */
export async function readLogProgress(clients: Clients, service: string, publisher: string, withRelayed: boolean): Promise<LogProgress> {
  const call = rootCall({ caller: service, timeoutMs: readTimeoutMs });
  const { head, relayed } = await clients.of(publisher, EventLogService).readEvents({ limit: 1, withRelayed }, call);
  if (head === undefined) throw new Error(`ReadEvents of ${publisher} responded without a position`);
  if (relayed?.position === undefined) return { head };
  return { head, relayed: { ...positionOf(relayed.position), offsets: relayed.offsets } };
}

/** Reads one event of a publisher's log, of whatever type. Undefined when there is none at that position. */
export async function readEventAt(
  clients: Clients,
  service: string,
  publisher: string,
  position: Position,
): Promise<SourceEvent | undefined> {
  const after = { ...positionOf(position), position: String(BigInt(position.position) - 1n) };
  const call = rootCall({ caller: service, timeoutMs: readTimeoutMs });
  const { events } = await clients.of(publisher, EventLogService).readEvents({ after, limit: 1 }, call);
  const event = events[0] === undefined ? undefined : sourceEvent(events[0]);
  return event !== undefined && comparePositions(event.position, position) === 0 ? event : undefined;
}

function sourceEvent({ position, at, ...event }: Event): SourceEvent {
  if (position === undefined || at === undefined) throw new Error(`${event.id} has no position or no time`);
  return {
    id: event.id,
    stream: event.stream,
    version: event.version,
    type: event.type,
    data: event.data,
    actor: event.actor,
    trace: event.trace,
    correlation: event.correlation,
    causation: event.causation,
    at: timestampDate(at),
    position,
  };
}
