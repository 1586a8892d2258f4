import { createChanges } from "@kontor/platform/changes/changes.ts";
import type { Watch } from "@kontor/platform/changes/changes.ts";
import type { EventLog, NewEvents, RecordedEvent } from "@kontor/platform/events/events.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { orderVersions } from "./order-store.ts";

type Needs = Pick<ServiceContext, "database" | "cache" | "events" | "log">;

/** Passes the changes of an order to its watchers, wherever they are made: by messages through the cache, and by polling in case one was lost. */
export interface OrderWatch {
  /** The service's log, whose appends are announced after their commit. */
  readonly events: EventLog;
  /** Notices the next changes of an order. */
  watch(order: string): Watch;
  /**
   * An order's events after a version, in order, without a gap: those that exist and then each as it comes, until `signal` aborts.
   * A slow reader gets them later, never fewer.
   */
  follow(order: string, afterVersion: number, signal: AbortSignal): AsyncGenerator<RecordedEvent>;
}

export function createOrderWatch({ database, cache, events, log }: Needs): OrderWatch {
  const versionsOf = (orders: readonly string[]) => orderVersions(database, orders);
  const changes = createChanges({ versionsOf, messages: { cache, channel: "orders.changed" }, log });
  const { watch } = changes;

  function announce(streams: readonly NewEvents[]): void {
    // Nobody watches an order before it is made.
    const orders = streams.filter(({ expectedVersion }) => expectedVersion > 0).map(({ stream }) => stream);
    if (orders.length > 0) changes.announce(orders);
  }

  return {
    watch,
    events: {
      ...events,
      async append(tx, call, streams) {
        await events.append(tx, call, streams);
        tx.afterCommit(() => announce(streams));
      },
      wake(streams) {
        events.wake(streams);
        announce(streams ?? []);
      },
    },
    async *follow(order, afterVersion, signal) {
      // Before the first reading, so that no change in between is missed.
      const watched = watch(order);
      const { waker } = watched;
      const close = () => waker.close();
      signal.addEventListener("abort", close, { once: true });
      let version = afterVersion;
      try {
        while (!signal.aborted) {
          waker.lower();
          for (const event of await events.history(database, order)) {
            if (event.version <= version) continue;
            version = event.version;
            yield event;
          }
          watched.version = version;
          // Polling raises it too, for a version behind the one that was read.
          await waker.wait();
        }
      } finally {
        signal.removeEventListener("abort", close);
        watched.close();
      }
    },
  };
}
