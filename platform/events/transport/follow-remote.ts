import { performance } from "node:perf_hooks";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { rootCall } from "../../call/call.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { beginning } from "../position.ts";
import type { Place } from "../position.ts";
import { Waker } from "../waker.ts";
import type { Wakeups } from "../wakeups.ts";

const waitMs = 4_000;
const timeoutMs = 10_000;
const retryMs = 500;
const newsMs = 10;

export interface RemoteNeeds {
  readonly clients: Clients;
  readonly service: string;
  readonly publisher: string;
  /** The types of events that somebody here wants to hear of. */
  readonly types: readonly string[];
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/**
 * Turns the news of a publisher in another process into signals here: asks its log, and each answer waits over there until there
 * is something that is wanted. Gives what stops it.
 */
export function followRemote({ clients, service, publisher, types, wakeups, log }: RemoteNeeds): () => Promise<void> {
  const client = clients.of(publisher, EventLogService);
  const stopping = new AbortController();
  const waker = new Waker();
  let from: Place = beginning;
  const following = follow();

  async function follow(): Promise<void> {
    let away = false;
    while (!stopping.signal.aborted) {
      const askedMs = performance.now();
      try {
        const signal = AbortSignal.any([stopping.signal, AbortSignal.timeout(timeoutMs)]);
        const call = rootCall({ caller: service, timeoutMs, signal });
        const answer = await client.readEvents({ after: from, types: [...types], limit: 1, waitMs }, call);
        const news = answer.events.length > 0;
        // Who is woken reads all that there is.
        from = (news ? answer.head : answer.next) ?? from;
        if (away || news) wakeups.signal(publisher);
        away = false;
        // One that is stopping answers at once, and busy ones have news all the time.
        await waker.pause(news ? newsMs : performance.now() - askedMs < waitMs / 2 ? retryMs : 0);
      } catch (error) {
        if (stopping.signal.aborted) return;
        if (!away) log.warn({ error, service, publisher }, "a publisher elsewhere cannot be followed, it is asked again");
        away = true;
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
