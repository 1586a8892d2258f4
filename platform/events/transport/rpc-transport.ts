import { eventTypeOf } from "../../contract/contract.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Subscription } from "../events.ts";
import type { Wakeups } from "../wakeups.ts";
import type { EventTransport } from "./event-transport.ts";
import { followRemote } from "./follow-remote.ts";
import { readLogProgress, rpcSource } from "./rpc-source.ts";

export interface RpcTransportNeeds {
  /** The service that subscribes. */
  readonly service: string;
  readonly subscriptions: readonly Subscription[];
  readonly clients: Clients;
  readonly wakeups: Wakeups;
  readonly log: Logger;
}

/** Subscribers read each publisher's log through its own rpc, in this process or another. */
export function rpcTransport({ service, subscriptions, clients, wakeups, log }: RpcTransportNeeds): EventTransport {
  const followed = new Map<string, { listeners: number; readonly stop: () => Promise<void> }>();

  function follow(publisher: string): () => Promise<void> | void {
    if (wakeups.isAttached(publisher)) return () => undefined;
    const types = subscriptions.filter((each) => each.publisher === publisher).flatMap(({ schemas }) => schemas.map(eventTypeOf));
    const remote = followed.get(publisher) ?? { listeners: 0, stop: followRemote({ clients, service, publisher, types, wakeups, log }) };
    followed.set(publisher, remote);
    remote.listeners++;
    return () => {
      if (--remote.listeners > 0) return;
      followed.delete(publisher);
      return remote.stop();
    };
  }

  return {
    source: ({ publisher, schemas }) => rpcSource(clients, service, publisher, schemas),
    listen({ publisher, schemas }, _partition, onNews) {
      const unfollow = follow(publisher);
      const unlisten = wakeups.listen(publisher, onNews, new Set(schemas.map(eventTypeOf)));
      return () => {
        unlisten();
        return unfollow();
      };
    },
    logProgress: (publisher) => readLogProgress(clients, service, publisher, false),
  };
}
