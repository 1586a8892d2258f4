import type { Cache } from "../cache/cache.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Waker } from "./waker.ts";

/** How often all that is watched in this process is looked for changes, in one statement, in case a message was lost. */
const pollMs = 1_000;

/** Notices changes of one thing, for one who waits for them. */
export interface Watch {
  /** Raised when the thing may have changed; never too little, and sometimes without a change. */
  readonly waker: Waker;
  /** The version that its owner has read: polling raises the waker for a later one. Undefined until something is read. */
  version: number | undefined;
  /** Needed in the end, once. */
  close(): void;
}

/** Passes changes to those who wait for them, in every process. */
export interface Changes {
  /** Watches a thing from now on. To be called before it is read, so that no change in between is missed. */
  watch(id: string): Watch;
  /** Wakes who watches these things, in this process at least. To be called after the change's commit. Never throws, never waits. */
  announce(ids: readonly string[]): void;
}

export interface ChangesNeeds {
  /** The versions of those of these things that there are, in one statement. */
  readonly versionsOf: (ids: readonly string[]) => Promise<readonly { readonly id: string; readonly version: number }[]>;
  /** What carries messages to other processes, and the name of their channel. Without it changes in other processes are noticed by polling alone. */
  readonly messages?: { readonly cache: Cache; readonly channel: string };
  readonly log: Logger;
}

/** Watches by messages and by polling, both only while anything is watched, and a moment longer: things are often watched one after another. */
export function createChanges({ versionsOf, messages, log }: ChangesNeeds): Changes {
  const watched = new Map<string, Set<Watch>>();
  let subscribed: Promise<() => Promise<void>> | undefined;
  let timer: NodeJS.Timeout | undefined;

  function wake(ids: readonly unknown[]): void {
    for (const id of ids) for (const { waker } of watched.get(String(id)) ?? []) waker.raise();
  }

  function begin(): void {
    timer ??= setTimeout(tick, pollMs).unref();
    if (messages === undefined || subscribed !== undefined) return;
    subscribed = messages.cache.subscribe(messages.channel, (ids) => {
      if (Array.isArray(ids)) wake(ids);
    });
    subscribed.catch((error: unknown) => {
      subscribed = undefined;
      log.debug({ error }, "changes cannot be subscribed to; they are polled");
    });
  }

  function tick(): void {
    if (watched.size > 0) void poll().finally(() => (timer = setTimeout(tick, pollMs).unref()));
    else end();
  }

  function end(): void {
    timer = undefined;
    const ending = subscribed;
    subscribed = undefined;
    ending
      ?.then((unsubscribe) => unsubscribe())
      .catch((error: unknown) => log.debug({ error }, "a subscription to changes could not be ended"));
  }

  async function poll(): Promise<void> {
    try {
      for (const { id, version } of await versionsOf([...watched.keys()]))
        for (const watch of watched.get(id) ?? []) if (watch.version !== undefined && watch.version < version) watch.waker.raise();
    } catch (error) {
      log.warn({ error }, "what is watched could not be read; it is tried again");
    }
  }

  return {
    watch(id) {
      const watch: Watch = { waker: new Waker(), version: undefined, close: () => leave(id, watch) };
      const others = watched.get(id);
      if (others === undefined) watched.set(id, new Set([watch]));
      else others.add(watch);
      begin();
      return watch;
    },
    announce(ids) {
      if (messages === undefined) return wake(ids);
      messages.cache
        .publish(messages.channel, ids)
        .catch((error: unknown) => log.debug({ error }, "watchers in other processes were not notified; they poll"));
    },
  };

  function leave(id: string, watch: Watch): void {
    watch.waker.close();
    const all = watched.get(id);
    all?.delete(watch);
    if (all?.size === 0) watched.delete(id);
  }
}
