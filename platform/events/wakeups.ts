import { randomUUID } from "node:crypto";
import type { Database } from "../database/database.ts";
import type { Logger } from "../telemetry/logger.ts";
import { Notifier } from "./notifier.ts";

const channel = "kontor_events";

/** Signals readers of a log that there may be new events: in this process at once, in others by a notification of the publisher's database. */
export interface Wakeups {
  /** Called by a publisher after its commit, with the types of its new events: absent when any are possible. Never throws, never waits. */
  signal(publisher: string, types?: ReadonlySet<string>): void;
  /**
   * Calls `onSignal` at each signal of events of these types (of any, when they are absent), and when one may have been missed. Returns a function
   * that ends this.
   */
  listen(publisher: string, onSignal: () => void, types?: ReadonlySet<string>): () => void;
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

interface Listener {
  readonly onSignal: () => void;
  readonly types: ReadonlySet<string> | undefined;
}

/** PostgreSQL takes less than 8,000 bytes a notification. Longer lists of types are left out, which means any. */
const typesLengthMax = 4_000;

export function createWakeups({ log, notifyMs = 20 }: WakeupsOptions): Wakeups {
  const instance = randomUUID();
  const listeners = new Map<string, Set<Listener>>();
  const attached = new Map<string, Attached>();

  function wakeHere(publisher: string, types: ReadonlySet<string> | undefined): void {
    for (const listener of listeners.get(publisher) ?? [])
      if (types === undefined || listener.types === undefined || !types.isDisjointFrom(listener.types)) listener.onSignal();
  }

  /** "instance publisher type,type": without types for any. The types of a notification that waits to be sent are added. */
  function payloadFor(publisher: string, types: ReadonlySet<string> | undefined, waiting: string | undefined): string {
    const any = `${instance} ${publisher}`;
    if (types === undefined || waiting === any) return any;
    const text = [...types.union(typesIn(waiting) ?? new Set())].join(",");
    return text.length > typesLengthMax ? any : `${any} ${text}`;
  }

  return {
    signal(publisher, types) {
      wakeHere(publisher, types);
      attached.get(publisher)?.notifier.send((waiting) => payloadFor(publisher, types, waiting));
    },
    listen(publisher, onSignal, types) {
      let here = listeners.get(publisher);
      if (here === undefined) listeners.set(publisher, (here = new Set()));
      const listener = { onSignal, types };
      here.add(listener);
      return () => here.delete(listener);
    },
    isAttached: (publisher) => attached.has(publisher),
    async attach(publisher, database, onReconnect) {
      if (attached.has(publisher)) throw new Error(`${publisher} is attached already`);
      const notifier = new Notifier({ database, channel, notifyMs, log });
      const to: Attached = { notifier };
      attached.set(publisher, to);
      const onNotification = (payload: string | undefined) => {
        if (payload === undefined) onReconnect?.();
        else {
          const [from, about] = payload.split(" ");
          if (from === instance || about !== publisher) return;
        }
        wakeHere(publisher, typesIn(payload));
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

/** The types that a notification names: undefined when any are possible. */
function typesIn(payload: string | undefined): ReadonlySet<string> | undefined {
  const types = payload?.split(" ")[2];
  return types === undefined ? undefined : new Set(types.split(","));
}
