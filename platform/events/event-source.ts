import type { DescMessage } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { eventTypeOf } from "../contract/contract.ts";
import { rootCall } from "../rpc/call.ts";
import type { Clients } from "../rpc/rpc.ts";
import type { EventRow } from "./event-log.ts";
import type { Place } from "./place.ts";

const readTimeoutMs = 10_000;

/** An event as it comes from its publisher, its data not yet decoded. */
export interface SourceEvent extends EventRow {
  readonly place: Place;
}

export interface SourceBatch {
  readonly events: readonly SourceEvent[];
  /** Where to read on. */
  readonly next: Place;
  /** The last event committed. */
  readonly head: Place;
}

/** Where a subscription's events come from: only its types, in the log's order. */
export interface EventSource {
  read(after: Place, limit: number): Promise<SourceBatch>;
}

/** Reads a publisher's log through its own rpc, here or elsewhere. */
export function rpcSource(clients: Clients, service: string, publisher: string, schemas: readonly DescMessage[]): EventSource {
  const client = clients.of(publisher, EventLogService);
  const types = schemas.map(eventTypeOf);
  return {
    async read(after, limit) {
      const { events, next, head } = await client.readEvents(
        { after, types, limit },
        rootCall({ caller: service, timeoutMs: readTimeoutMs }),
      );
      if (next === undefined || head === undefined) throw new Error(`${publisher} answers ReadEvents without a place`);
      return { events: events.map(sourceEvent), next, head };
    },
  };
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
