import { randomUUID } from "node:crypto";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Notifier } from "./notifier.ts";

const channel = "kontor_events";

/** Signals readers of a log that there may be new events: in this process at once, in others by a notification of the publisher's database. */
export interface Wakeups {
  /** Called by a publisher after its commit. Never throws, never waits. */
  signal(publisher: string): void;
  /** Calls `onSignal` at each signal, and when one may have been missed. Returns a function that ends this. */
  listen(publisher: string, onSignal: () => void): () => void;
  /** Whether this process receives all signals of the publisher: its database is attached here. */
  isAttached(publisher: string): boolean;
  /** Connects a publisher with the notifications of its database. `onReconnect` is called when their connection was lost and is open again. */
  attach(publisher: string, database: Database, onReconnect?: () => void): Promise<void>;
  /** Ends that, after sending a signal that is still unsent. Does nothing when the publisher is not attached. */
  detach(publisher: string): Promise<void>;
}

export interface WakeupsOptions {
  readonly log: Logger;
  /** The least time between two notifications to one database, in milliseconds: 20 by default. A lower value costs more commits. */
  readonly notifyMs?: number;
}

interface Attached {
  readonly notifier: Notifier;
  unlisten?: () => Promise<void>;
}

export function createWakeups({ log, notifyMs = 20 }: WakeupsOptions): Wakeups {
  const instance = randomUUID();
  const listeners = new Map<string, Set<() => void>>();
  const attached = new Map<string, Attached>();

  function wakeHere(publisher: string): void {
    const here = listeners.get(publisher);
    if (here !== undefined) for (const onSignal of here) onSignal();
  }

  return {
    signal(publisher) {
      wakeHere(publisher);
      attached.get(publisher)?.notifier.send();
    },
    listen(publisher, onSignal) {
      let here = listeners.get(publisher);
      if (here === undefined) listeners.set(publisher, (here = new Set()));
      here.add(onSignal);
      return () => here.delete(onSignal);
    },
    isAttached: (publisher) => attached.has(publisher),
    async attach(publisher, database, onReconnect) {
      if (attached.has(publisher)) throw new Error(`${publisher} is attached already`);
      const notifier = new Notifier({ database, channel, payload: `${instance} ${publisher}`, notifyMs, log });
      const to: Attached = { notifier };
      attached.set(publisher, to);
      const onNotification = (payload: string | undefined) => {
        if (payload === undefined) onReconnect?.();
        else {
          const [from, about] = payload.split(" ");
          if (from === instance || about !== publisher) return;
        }
        wakeHere(publisher);
      };
      try {
        to.unlisten = await database.listen(channel, onNotification);
      } catch (error) {
        attached.delete(publisher);
        throw error;
      }
    },
    async detach(publisher) {
      const to = attached.get(publisher);
      if (to === undefined) return;
      attached.delete(publisher);
      await to.notifier.close();
      await to.unlisten?.();
    },
  };
}
