import type { DescMessage } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { eventTypeOf } from "../../contract/contract.ts";
import { rootCall } from "../../call/call.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { EventRow } from "../log/event-log.ts";
import { comparePlaces } from "../position.ts";
import type { Place, Stand } from "../position.ts";
import type { Reach } from "./log-progress.ts";

const readTimeoutMs = 10_000;

/** An event as it comes from its publisher, its data not yet decoded. */
export interface SourceEvent extends EventRow {
  readonly place: Place;
}

export interface SourceBatch {
  readonly events: readonly SourceEvent[];
  /** Where to read on. */
  readonly next: Stand;
  /** What is behind `next`: more, at once; nothing; or what is committed and may not be read yet, because an older writer is still at work. */
  readonly behind: "more" | "nothing" | "hidden";
}

/** Where a subscription's events come from: only its types, in the log's order, of one part of the log where it comes in parts. */
export interface EventSource {
  /** Empty, with nothing behind it, while the way is cut: whoever listens is told when it is open again. */
  read(after: Stand, limit: number): Promise<SourceBatch>;
}

/** Reads a publisher's log through its own rpc, here or elsewhere. */
export function rpcSource(clients: Clients, service: string, publisher: string, schemas: readonly DescMessage[]): EventSource {
  const client = clients.of(publisher, EventLogService);
  const types = schemas.map(eventTypeOf);
  return {
    async read(after, limit) {
      const { events, next, head } = await client.readEvents(
        { after: placeOf(after), types, limit },
        rootCall({ caller: service, timeoutMs: readTimeoutMs }),
      );
      if (next === undefined || head === undefined) throw new Error(`${publisher} answers ReadEvents without a place`);
      const behind = comparePlaces(head, next) <= 0 ? "nothing" : events.length === limit ? "more" : "hidden";
      return { events: events.map(sourceEvent), next: { ...placeOf(next), mark: "" }, behind };
    },
  };
}

/** Asks a publisher how far its log goes and, where there is a relay, how far that has come. */
export async function readReach(clients: Clients, service: string, publisher: string, withRelayed: boolean): Promise<Reach> {
  const call = rootCall({ caller: service, timeoutMs: readTimeoutMs });
  const { head, relayed } = await clients.of(publisher, EventLogService).readEvents({ limit: 1, withRelayed }, call);
  if (head === undefined) throw new Error(`${publisher} answers ReadEvents without a place`);
  if (relayed?.place === undefined) return { head };
  return { head, relayed: { ...placeOf(relayed.place), mark: relayed.mark } };
}

/** Reads one event of a publisher's log, whatever its type. Undefined when there is none at that place. */
export async function readOne(clients: Clients, service: string, publisher: string, place: Place): Promise<SourceEvent | undefined> {
  const after = { ...placeOf(place), position: String(BigInt(place.position) - 1n) };
  const call = rootCall({ caller: service, timeoutMs: readTimeoutMs });
  const { events } = await clients.of(publisher, EventLogService).readEvents({ after, limit: 1 }, call);
  const event = events[0] === undefined ? undefined : sourceEvent(events[0]);
  return event !== undefined && comparePlaces(event.place, place) === 0 ? event : undefined;
}

function placeOf({ epoch, xid, position }: Place): Place {
  return { epoch, xid, position };
}

function sourceEvent({ cursor, at, ...event }: Event): SourceEvent {
  if (cursor === undefined || at === undefined) throw new Error(`${event.id} comes without its place or time`);
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
    place: cursor,
  };
}
