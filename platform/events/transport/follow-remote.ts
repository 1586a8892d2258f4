import { performance } from "node:perf_hooks";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { rootCall } from "../../call/call.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { beginning } from "../position.ts";
import type { Position } from "../position.ts";
import { Waker } from "../../changes/waker.ts";
import type { Wakeups } from "../wakeups.ts";

const waitMs = 4_000;
const timeoutMs = 10_000;
const retryMs = 500;
const pauseMs = 10;

export interface RemoteNeeds {
  readonly clients: Clients;
  readonly service: string;
  readonly publisher: string;
  /** The types of events that are subscribed to in this process. */
  readonly types: readonly string[];
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/**
 * Signals the wakeups of this process when a publisher in another process has new events: reads its log with long polling, each response comes
 * when there are events of these types. Returns a function that stops it.
 */
export function followRemote({ clients, service, publisher, types, wakeups, log }: RemoteNeeds): () => Promise<void> {
  const client = clients.of(publisher, EventLogService);
  const stopping = new AbortController();
  const waker = new Waker();
  const followed = new Set(types);
  let from: Position = beginning;
  const following = follow();

  async function follow(): Promise<void> {
    let unavailable = false;
    while (!stopping.signal.aborted) {
      const requestedMs = performance.now();
      try {
        const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(timeoutMs)]);
        const call = rootCall({ caller: service, timeoutMs, signal });
        const response = await client.readEvents({ after: from, types: [...types], limit: 1, waitMs }, call);
        const news = response.events.length > 0;
        // A subscription that is woken reads up to the head.
        from = (news ? response.head : response.next) ?? from;
        if (unavailable || news) wakeups.signal(publisher, unavailable ? undefined : followed);
        unavailable = false;
        // A publisher that is stopping responds at once, and a busy one always has news.
        await waker.pause(news ? pauseMs : performance.now() - requestedMs < waitMs / 2 ? retryMs : 0);
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (!unavailable) log.warn({ error, service, publisher }, "the event log of a remote publisher cannot be read, it is tried again");
        unavailable = true;
        await waker.pause(retryMs);
      }
    }
  }

  return async () => {
    stopping.abort();
    waker.close();
    await following;
  };
}
