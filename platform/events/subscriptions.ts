import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Clients } from "../rpc/rpc.ts";
import type { Logger } from "../telemetry/logger.ts";
import { rpcSource } from "./event-source.ts";
import type { EventSource } from "./event-source.ts";
import type { Subscription } from "./events.ts";
import { followRemote } from "./follow-remote.ts";
import { comparePlaces } from "./place.ts";
import type { Place } from "./place.ts";
import { SubscriptionLoop } from "./subscription-loop.ts";
import type { LoopOptions } from "./subscription-loop.ts";
import { leaseChannel, registerSubscriptions, releaseLeases, renewLeases, subscriptionRows, takeLeases } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";
import { Waker } from "./waker.ts";
import type { Wakeups } from "./wakeups.ts";

const defaults: LoopOptions = {
  batchMax: 200,
  lingerMs: 5,
  pauseMs: 40,
  pollMs: 5_000,
  attemptsMax: 5,
  retryDelayMs: 1_000,
  retryDelayMsMax: 60_000,
  leaseMs: 4_000,
};
const keepMs = 1_000;
const lookMs = 50;

export interface SubscriptionsNeeds {
  /** The service that subscribes. */
  readonly service: string;
  readonly subscriptions: readonly Subscription[];
  readonly database: Database;
  readonly clients: Clients;
  readonly wakeups: Wakeups;
  /** For the retries of parked events. */
  readonly clock: Clock;
  readonly log: Logger;
  readonly options?: Partial<LoopOptions>;
}

export interface SubscriptionStatus {
  readonly name: string;
  readonly publisher: string;
  /** Events that had their effect, replayed ones included. */
  readonly applied: number;
  readonly parked: number;
  readonly skipped: number;
  readonly position: Place;
  /** About how many events of the publisher's log, of any type, are still to be looked at: 0 exactly when there is none. */
  readonly lag: number;
}

/** The subscriptions of one service in this process. Others may run them too: of all, one applies. */
export interface Subscriptions {
  /** After the event logs of this process, whose signals it listens to. */
  start(): Promise<void>;
  /** Ends after the batches under way and lets another process go on at once. */
  stop(): Promise<void>;
  /** Resolves when every event that was committed before this call is applied or parked, whoever does it. */
  caughtUp(): Promise<void>;
  status(): Promise<SubscriptionStatus[]>;
}

/** Runs subscriptions that read each publisher's log through its own rpc. */
export function createSubscriptions(needs: SubscriptionsNeeds): Subscriptions {
  const { service, subscriptions, database, clients, wakeups, log } = needs;
  const options = { ...defaults, ...needs.options };
  const owner = `${service}-${randomUUID()}`;
  const keeper = new Waker();
  const sources = new Map<SubscriptionLoop, EventSource>();
  const publishers = new Set(subscriptions.map(({ publisher }) => publisher));
  const endings: (() => Promise<void> | void)[] = [];
  let force = false;
  let keeping: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  if (new Set(subscriptions.map(({ name }) => name)).size < subscriptions.length)
    throw new Error(`${service} has two subscriptions of one name`);
  for (const subscription of subscriptions) {
    const source = rpcSource(clients, service, subscription.publisher, subscription.schemas);
    const lost = () => hurry();
    const { pauseMs = options.pauseMs } = subscription;
    sources.set(new SubscriptionLoop({ ...needs, subscription, source, options: { ...options, pauseMs }, lost }), source);
  }
  const loops = [...sources.keys()];

  function hurry(): void {
    force = true;
    keeper.raise();
  }

  async function keep(): Promise<void> {
    while (!keeper.closed) {
      try {
        await keepLeases();
      } catch (error) {
        log.warn({ error, service }, "the leases of subscriptions could not be kept, it is tried again");
      }
      await keeper.wait(keepMs);
    }
  }

  async function keepLeases(): Promise<void> {
    const staleMs = force ? Number.POSITIVE_INFINITY : performance.now() - options.leaseMs / 2;
    force = false;
    const stale = loops.flatMap((loop) => (loop.lease !== undefined && loop.leasedMs <= staleMs ? [{ loop, lease: loop.lease }] : []));
    if (stale.length > 0) {
      const held = new Set(
        await renewLeases(
          database,
          stale.map(({ lease }) => lease),
          options.leaseMs,
        ),
      );
      for (const { loop, lease } of stale)
        if (held.has(lease.name)) loop.renewed();
        else loop.drop(lease.fence);
    }
    const free = loops.filter((loop) => loop.lease === undefined);
    if (free.length === 0) return;
    const taken = await takeLeases(
      database,
      owner,
      free.map(({ name }) => name),
      options.leaseMs,
    );
    for (const lease of taken) free.find(({ name }) => name === lease.name)?.give(lease);
  }

  async function stop(): Promise<void> {
    await keeping?.catch(() => undefined); // whoever started has been told
    keeper.close();
    await Promise.all([...loops.map((loop) => loop.stop()), ...endings.map((end) => end())]);
    await running;
    const leases: Lease[] = loops.flatMap((loop) => (loop.lease === undefined ? [] : [{ ...loop.lease, ...loop.place }]));
    if (leases.length === 0) return;
    try {
      await releaseLeases(database, leases);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service }, "leases could not be given back, they run out by themselves");
    }
  }

  let running: Promise<void> | undefined;

  async function start(): Promise<void> {
    if (loops.length === 0) return;
    await registerSubscriptions(database, subscriptions);
    endings.push(await database.listen(leaseChannel, hurry));
    for (const publisher of publishers)
      if (!wakeups.reaches(publisher)) endings.push(followRemote({ clients, service, publisher, wakeups, log }));
    for (const loop of loops) {
      endings.push(wakeups.listen(loop.publisher, () => loop.wake()));
      loop.start();
    }
    await keepLeases();
    running = keep();
  }

  async function settle(loop: SubscriptionLoop, source: EventSource): Promise<void> {
    const stored = async () => (await subscriptionRows(database)).find(({ name }) => name === loop.name);
    const from = loop.place ?? (await stored());
    if (from === undefined) throw new Error(`${loop.name} has not been started`);
    const { head } = await source.read(from, 1);
    for (;;) {
      const place = loop.place ?? (await stored()) ?? from;
      if (comparePlaces(place, head) >= 0) return;
      loop.wake();
      await loop.moved(lookMs);
    }
  }

  return {
    start: () => (keeping ??= start()),
    stop: () => (stopped ??= stop()),
    caughtUp: async () => void (await Promise.all([...sources].map(([loop, source]) => settle(loop, source)))),
    async status() {
      const rows = new Map((await subscriptionRows(database)).map((row) => [row.name, row]));
      return Promise.all(
        [...sources].map(async ([loop, source]) => {
          const row = rows.get(loop.name);
          if (row === undefined) throw new Error(`${loop.name} has not been started`);
          const { name, publisher, applied, parked, skipped } = row;
          const { epoch, xid, position } = loop.place ?? row;
          const { head } = await source.read({ epoch, xid, position }, 1);
          const behind = comparePlaces(head, { epoch, xid, position }) > 0;
          const lag = behind ? Math.max(1, Number(BigInt(head.position) - BigInt(position))) : 0;
          return { name, publisher, applied, parked, skipped, position: { epoch, xid, position }, lag };
        }),
      );
    },
  };
}
