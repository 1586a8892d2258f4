import type { EventLog, RecordedEvent } from "@kontor/platform/events/events.ts";
import { Waker } from "@kontor/platform/events/waker.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { sql } from "@kontor/platform/database/sql.ts";

const channel = "orders.changed";
/** How often the watched orders of this process are looked at, all in one statement, in case that a message was lost. */
const lookMs = 1_000;

type Needs = Pick<ServiceContext, "database" | "cache" | "events" | "log">;

/** Tells whoever watches an order of its changes, wherever they are made: by messages through the cache, and by looking where one was lost. */
export interface OrderWatch {
  /** The service's log, whose appends are announced after their commit. */
  readonly events: EventLog;
  /**
   * An order's events after a version, in order, without a gap: those that there are and then each as it comes, until `signal` aborts.
   * Who reads slowly gets them later, never fewer.
   */
  follow(order: string, afterVersion: number, signal: AbortSignal): AsyncGenerator<RecordedEvent>;
}

interface Watcher {
  readonly waker: Waker;
  version: number;
}

export function createOrderWatch({ database, cache, events, log }: Needs): OrderWatch {
  const watched = new Map<string, Set<Watcher>>();
  let hearing: Promise<() => Promise<void>> | undefined;
  let timer: NodeJS.Timeout | undefined;

  function wake(order: string): void {
    for (const { waker } of watched.get(order) ?? []) waker.raise();
  }

  function announce(orders: readonly string[]): void {
    cache
      .publish(channel, orders)
      .catch((error: unknown) => log.debug({ error }, "watchers elsewhere were not told; they look by themselves"));
  }

  /** Wakes those whose order has gone on. Looks again a second after it has an answer. */
  function look(): void {
    void lookNow().finally(() => (timer = watched.size === 0 ? undefined : setTimeout(look, lookMs)));
  }

  async function lookNow(): Promise<void> {
    try {
      const rows = await database.rows<{ stream: string; version: number }>(
        sql`select stream, max(version) as version from events where stream = any(${[...watched.keys()]}::text[]) group by stream`,
      );
      for (const { stream, version } of rows)
        for (const watcher of watched.get(stream) ?? []) if (watcher.version < version) watcher.waker.raise();
    } catch (error) {
      log.warn({ error }, "watched orders could not be looked at; it is tried again");
    }
  }

  function join(order: string, watcher: Watcher): void {
    const others = watched.get(order);
    if (others === undefined) watched.set(order, new Set([watcher]));
    else others.add(watcher);
    timer ??= setTimeout(look, lookMs);
    hearing ??= cache.subscribe(channel, (orders) => {
      if (Array.isArray(orders)) for (const changed of orders) wake(String(changed));
    });
    hearing.catch((error: unknown) => {
      hearing = undefined;
      log.debug({ error }, "changes of orders are not heard of; they are looked for");
    });
  }

  function leave(order: string, watcher: Watcher): void {
    const all = watched.get(order);
    all?.delete(watcher);
    if (all?.size === 0) watched.delete(order);
    if (watched.size > 0) return;
    clearTimeout(timer);
    timer = undefined;
    const ending = hearing;
    hearing = undefined;
    ending?.then((end) => end()).catch((error: unknown) => log.debug({ error }, "a subscription to changes of orders could not be ended"));
  }

  return {
    events: {
      ...events,
      async append(tx, call, streams) {
        await events.append(tx, call, streams);
        tx.afterCommit(() => announce(streams.map(({ stream }) => stream)));
      },
    },
    async *follow(order, afterVersion, signal) {
      const watcher: Watcher = { waker: new Waker(), version: afterVersion };
      const close = () => watcher.waker.close();
      signal.addEventListener("abort", close, { once: true });
      // Before the first reading: what comes meanwhile is heard.
      join(order, watcher);
      try {
        while (!signal.aborted) {
          watcher.waker.lower();
          for (const event of await events.history(database, order)) {
            if (event.version <= watcher.version) continue;
            watcher.version = event.version;
            yield event;
          }
          await watcher.waker.wait(lookMs * 30);
        }
      } finally {
        signal.removeEventListener("abort", close);
        leave(order, watcher);
      }
    },
  };
}
