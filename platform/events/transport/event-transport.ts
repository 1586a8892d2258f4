import { eventTypeOf } from "../../contract/contract.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { readReach, rpcSource } from "./event-source.ts";
import type { EventSource } from "./event-source.ts";
import type { Subscription } from "../events.ts";
import { followRemote } from "./follow-remote.ts";
import type { DeadLetter } from "../subscriptions/parked-store.ts";
import type { Reach } from "./log-progress.ts";
import type { Wakeups } from "../wakeups.ts";

/** The way on which events come from their publishers to the subscriptions of one service. */
export interface EventTransport {
  /**
   * Into how many parts a publisher's log is divided on the way; resolves once that is known. Absent when logs come whole: then the parts below
   * are undefined.
   */
  readonly parts?: (publisher: string) => Promise<number>;
  source(subscription: Subscription, part: number | undefined): EventSource;
  /** Calls `heard` when there may be something new. Gives what ends it. */
  listen(subscription: Subscription, part: number | undefined, heard: () => void): () => Promise<void> | void;
  /** How far a publisher's log goes. On a broker `patiently` waits until as much as there was at the call has been relayed. */
  reach(publisher: string, patiently: boolean): Promise<Reach>;
  /** Makes dead letters known, where that is usual. At least once each. */
  readonly announce?: (letters: readonly DeadLetter[]) => Promise<void>;
}

export interface RpcTransportNeeds {
  /** The service that subscribes. */
  readonly service: string;
  readonly subscriptions: readonly Subscription[];
  readonly clients: Clients;
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/** Subscribers read each publisher's log through its own rpc, here or elsewhere. */
export function rpcTransport({ service, subscriptions, clients, wakeups, log }: RpcTransportNeeds): EventTransport {
  const followed = new Map<string, { count: number; readonly end: () => Promise<void> }>();

  function follow(publisher: string): () => Promise<void> | void {
    if (wakeups.reaches(publisher)) return () => undefined;
    const types = subscriptions.filter((one) => one.publisher === publisher).flatMap(({ schemas }) => schemas.map(eventTypeOf));
    const one = followed.get(publisher) ?? { count: 0, end: followRemote({ clients, service, publisher, types, wakeups, log }) };
    followed.set(publisher, one);
    one.count++;
    return () => {
      if (--one.count > 0) return;
      followed.delete(publisher);
      return one.end();
    };
  }

  return {
    source: ({ publisher, schemas }) => rpcSource(clients, service, publisher, schemas),
    listen({ publisher }, _part, heard) {
      const unfollow = follow(publisher);
      const unlisten = wakeups.listen(publisher, heard);
      return () => {
        unlisten();
        return unfollow();
      };
    },
    reach: (publisher) => readReach(clients, service, publisher, false),
  };
}
