import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Database } from "../database/database.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import type { Logger } from "../telemetry/logger.ts";

const channel = "kontor_events";

/** Tells readers of a log that there may be something new: in this process at once, in others by a notification of the publisher's database. */
export interface Wakeups {
  /** Called by a publisher after its commit. Never throws, never waits. */
  signal(publisher: string): void;
  /** Calls `heard` at each signal, and when one may have been missed. Gives what ends it. */
  listen(publisher: string, heard: () => void): () => void;
  /** Whether this process hears all signals of the publisher: its database is attached here. */
  reaches(publisher: string): boolean;
  /** Connects a publisher with the notifications of its database. `reconnected` runs when their connection was lost and is back. */
  attach(publisher: string, database: Database, reconnected?: () => void): Promise<void>;
  /** Ends that, after sending what is still unsent. Nothing happens when it is not attached. */
  detach(publisher: string): Promise<void>;
}

export interface WakeupsOptions {
  readonly log: Logger;
  /** The least time between two notifications to one database, in milliseconds: 20 by default. More often, they cost commits. */
  readonly notifyMs?: number;
}

interface Attached {
  readonly database: Database;
  readonly payload: string;
  unlisten: (() => Promise<void>) | undefined;
  sending: Promise<void> | undefined;
  again: boolean;
  /** Ends the pause between two notifications. */
  hurry: (() => void) | undefined;
  detached: boolean;
}

export function createWakeups({ log, notifyMs = 20 }: WakeupsOptions): Wakeups {
  const instance = randomUUID();
  const listeners = new Map<string, Set<() => void>>();
  const attached = new Map<string, Attached>();

  function wakeHere(publisher: string): void {
    const here = listeners.get(publisher);
    if (here !== undefined) for (const heard of here) heard();
  }

  function announce(to: Attached): void {
    if (to.sending === undefined) to.sending = outsideTransaction(() => send(to));
    else to.again = true;
  }

  async function send(to: Attached): Promise<void> {
    do {
      to.again = false;
      const sentMs = performance.now();
      try {
        await to.database.notify(channel, to.payload);
      } catch (error) {
        log.warn({ error, database: to.database.name }, "readers elsewhere were not woken, they will look by themselves");
      }
      if (!to.detached) await pauseOf(to, notifyMs - (performance.now() - sentMs));
    } while (to.again);
    to.sending = undefined;
  }

  return {
    signal(publisher) {
      wakeHere(publisher);
      const to = attached.get(publisher);
      if (to !== undefined) announce(to);
    },
    listen(publisher, heard) {
      let here = listeners.get(publisher);
      if (here === undefined) listeners.set(publisher, (here = new Set()));
      here.add(heard);
      return () => here.delete(heard);
    },
    reaches: (publisher) => attached.has(publisher),
    async attach(publisher, database, reconnected) {
      if (attached.has(publisher)) throw new Error(`${publisher} is attached already`);
      const to: Attached = {
        database,
        payload: `${instance} ${publisher}`,
        unlisten: undefined,
        sending: undefined,
        again: false,
        hurry: undefined,
        detached: false,
      };
      attached.set(publisher, to);
      const heard = (payload: string | undefined) => {
        if (payload === undefined) reconnected?.();
        else {
          const [from, about] = payload.split(" ");
          if (from === instance || about !== publisher) return;
        }
        wakeHere(publisher);
      };
      try {
        to.unlisten = await database.listen(channel, heard);
      } catch (error) {
        attached.delete(publisher);
        throw error;
      }
    },
    async detach(publisher) {
      const to = attached.get(publisher);
      if (to === undefined) return;
      attached.delete(publisher);
      to.detached = true;
      to.hurry?.();
      await to.sending;
      await to.unlisten?.();
    },
  };
}

function pauseOf(to: Attached, ms: number): Promise<void> {
  if (ms <= 0) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      to.hurry = undefined;
      resolve();
    };
    const timer = setTimeout(done, Math.ceil(ms));
    to.hurry = done;
  });
}
