import { performance } from "node:perf_hooks";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { EventLogService, EventSchema, ReadEventsRequest } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Database } from "../../database/database.ts";
import type { Call } from "../../call/call.ts";
import type { Implementation } from "../../rpc/rpc.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import { readLog } from "./read-log.ts";
import type { LogPage } from "./read-log.ts";
import { beginning, comparePositions, positionOf } from "../position.ts";
import type { Position } from "../position.ts";
import { readRelayCheckpoint } from "./relay-checkpoint.ts";
import { Waker } from "../../changes/waker.ts";
import type { Wakeups } from "../wakeups.ts";

interface ReaderNeeds {
  readonly service: string;
  readonly database: Database;
  readonly wakeups: Wakeups;
}

/** A waiting read responds this long before its deadline. */
const marginMs = 200;
/** The pause after a read that found nothing: there may be many events of other types. */
const pauseMsMin = 10;
const pauseMsMax = 50;

/** The implementation of ReadEvents over the log in `database`. `stop` ends the reads that wait. */
export function readEvents({
  service,
  database,
  wakeups,
}: ReaderNeeds): Implementation<typeof EventLogService> & { start(): void; stop(): void } {
  const waiting = new Set<Waker>();
  let stopped = false;

  async function readOrWait(request: ReadEventsRequest, after: Position, call: Call): Promise<LogPage> {
    if (request.waitMs === 0 || stopped) return readLog(database, after, request);
    const waker = new Waker();
    const wake = () => waker.raise();
    const close = () => waker.close();
    const unlisten = wakeups.listen(service, wake, request.types.length === 0 ? undefined : new Set(request.types));
    waiting.add(waker);
    call.signal.addEventListener("abort", close, { once: true });
    const endsMs = performance.now() + Math.min(request.waitMs, call.remainingMs() - marginMs);
    try {
      let from = after;
      let pauseMs = 0;
      for (;;) {
        waker.lower();
        const page = await readLog(database, from, request);
        const leftMs = endsMs - performance.now();
        if (page.events.length > 0 || leftMs <= 0 || call.signal.aborted || waker.closed) return page;
        from = page.next;
        await waker.pause(Math.min(pauseMs, leftMs));
        // Committed events that may not be read yet become readable without a signal.
        const hidden = comparePositions(page.head, page.next) > 0;
        if (!hidden) await waker.wait(leftMs);
        pauseMs = hidden ? Math.min(Math.max(pauseMs * 2, pauseMsMin), pauseMsMax) : pauseMsMin;
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
      const page = await readOrWait(request, after, call);
      const relayed = request.withRelayed ? await readRelayCheckpoint(database) : undefined;
      const response = { ...page, events: page.events.map(eventMessage) };
      return relayed === undefined ? response : { ...response, relayed: { position: positionOf(relayed), offsets: relayed.offsets } };
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

function eventMessage({ at, ...event }: SourceEvent): MessageInitShape<typeof EventSchema> {
  return { ...event, at: timestampFromDate(at) };
}
