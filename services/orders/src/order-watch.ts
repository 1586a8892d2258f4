import type { EventLog, NewEvents, RecordedEvent } from "@kontor/platform/events/events.ts";
import { Waker } from "@kontor/platform/events/waker.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { sql } from "@kontor/platform/database/sql.ts";

const channel = "orders.changed";
/** How often the watched orders of this process are read, all in one statement, in case a message was lost. */
const pollMs = 1_000;

type Needs = Pick<ServiceContext, "database" | "cache" | "events" | "log">;

/** Passes the changes of an order to its watchers, wherever they are made: by messages through the cache, and by polling in case one was lost. */
export interface OrderWatch {
  /** The service's log, whose appends are announced after their commit. */
  readonly events: EventLog;
  /**
   * An order's events after a version, in order, without a gap: those that exist and then each as it comes, until `signal` aborts.
   * A slow reader gets them later, never fewer.
   */
  follow(order: string, afterVersion: number, signal: AbortSignal): AsyncGenerator<RecordedEvent>;
}

interface Watcher {
  readonly waker: Waker;
  version: number;
}

/** Wakes watchers when their order has changed, while there are any: when a message says so, and by polling. */
function wakeOnChanges({ database, cache, log }: Omit<Needs, "events">) {
  const watched = new Map<string, Set<Watcher>>();
  let subscribed: Promise<() => Promise<void>> | undefined;
  let timer: NodeJS.Timeout | undefined;

  function wake(order: string): void {
    for (const { waker } of watched.get(order) ?? []) waker.raise();
  }

  /** Polls again a second after it has a result. */
  function poll(): void {
    void pollNow().finally(() => (timer = watched.size === 0 ? undefined : setTimeout(poll, pollMs)));
  }

  async function pollNow(): Promise<void> {
    try {
      const rows = await database.rows<{ stream: string; version: number }>(
        sql`select stream, max(version) as version from events where stream = any(${[...watched.keys()]}::text[]) group by stream`,
      );
      for (const { stream, version } of rows)
        for (const watcher of watched.get(stream) ?? []) if (watcher.version < version) watcher.waker.raise();
    } catch (error) {
      log.warn({ error }, "watched orders could not be read; it is tried again");
    }
  }

  function join(order: string, watcher: Watcher): void {
    const others = watched.get(order);
    if (others === undefined) watched.set(order, new Set([watcher]));
    else others.add(watcher);
    timer ??= setTimeout(poll, pollMs);
    subscribed ??= cache.subscribe(channel, (orders) => {
      if (Array.isArray(orders)) for (const changed of orders) wake(String(changed));
    });
    subscribed.catch((error: unknown) => {
      subscribed = undefined;
      log.debug({ error }, "changes of orders cannot be subscribed to; they are polled");
    });
  }

  function leave(order: string, watcher: Watcher): void {
    const all = watched.get(order);
    all?.delete(watcher);
    if (all?.size === 0) watched.delete(order);
    if (watched.size > 0) return;
    clearTimeout(timer);
    timer = undefined;
    const ending = subscribed;
    subscribed = undefined;
    ending?.then((end) => end()).catch((error: unknown) => log.debug({ error }, "a subscription to changes of orders could not be ended"));
  }

  return { join, leave };
}

export function createOrderWatch({ database, cache, events, log }: Needs): OrderWatch {
  const changes = wakeOnChanges({ database, cache, log });

  function announce(streams: readonly NewEvents[]): void {
    // Nobody watches an order before it is made.
    const orders = streams.filter(({ expectedVersion }) => expectedVersion > 0).map(({ stream }) => stream);
    if (orders.length === 0) return;
    cache
      .publish(channel, orders)
      .catch((error: unknown) => log.debug({ error }, "watchers in other processes were not notified; they poll"));
  }

  return {
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
      const watcher: Watcher = { waker: new Waker(), version: afterVersion };
      const close = () => watcher.waker.close();
      signal.addEventListener("abort", close, { once: true });
      // Before the first reading, so that no change in between is missed.
      changes.join(order, watcher);
      try {
        while (!signal.aborted) {
          watcher.waker.lower();
          for (const event of await events.history(database, order)) {
            if (event.version <= watcher.version) continue;
            watcher.version = event.version;
            yield event;
          }
          await watcher.waker.wait(pollMs * 30);
        }
      } finally {
        signal.removeEventListener("abort", close);
        changes.leave(order, watcher);
      }
    },
  };
}
