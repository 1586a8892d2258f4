import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Announcer } from "./dead-letter-announcer.ts";
import { readReach } from "../transport/event-source.ts";
import { rpcTransport } from "../transport/event-transport.ts";
import type { EventTransport } from "../transport/event-transport.ts";
import type { Subscription } from "../events.ts";
import { LeaseManager } from "./lease-manager.ts";
import { partName } from "./partition-name.ts";
import { comparePlaces } from "../position.ts";
import type { Place, Stand } from "../position.ts";
import { reachedPlace, recordsLeft } from "../transport/log-progress.ts";
import type { Reach } from "../transport/log-progress.ts";
import { SubscriptionLoop } from "./subscription-loop.ts";
import type { LoopOptions } from "./subscription-loop.ts";
import { SharedBatches } from "./shared-batches.ts";
import { joinSubscription, splitSubscription } from "./subscription-partitions.ts";
import { registerSubscriptions, subscriptionRows } from "./subscription-store.ts";
import type { SubscriptionTotals } from "./subscription-store.ts";
import { Waker } from "../waker.ts";
import type { Wakeups } from "../wakeups.ts";

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
const lookMs = 50;
const retryMs = 1_000;

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
  /** The way on which the events come: absent when each publisher's log is read through its own rpc. */
  readonly transport?: EventTransport;
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

/** A subscription as it runs here: whole, or in parts, each with a loop of its own. */
interface Running {
  readonly subscription: Subscription;
  /** Empty until it is known how many parts there are. */
  lanes: readonly Lane[];
  readonly opened: PromiseWithResolvers<void>;
}

interface Lane {
  readonly part: number | undefined;
  readonly loop: SubscriptionLoop;
}

/** Runs the subscriptions of a service. */
export function createSubscriptions(needs: SubscriptionsNeeds): Subscriptions {
  const { service, subscriptions, database, clients, wakeups, log } = needs;
  const options = { ...defaults, ...needs.options };
  const transport = needs.transport ?? rpcTransport({ service, subscriptions, clients, wakeups, log });
  const keeper = new LeaseManager({
    service,
    database,
    log,
    leaseMs: options.leaseMs,
    subscriptions: subscriptions.map(({ name }) => name),
    share: transport.parts !== undefined,
  });
  const announcer = transport.announce && new Announcer({ service, database, log, announce: transport.announce });
  const stopping = new Waker();
  const endings: (() => Promise<void> | void)[] = [];
  const openings: Promise<void>[] = [];
  const running = subscriptions.map((subscription): Running => ({ subscription, lanes: [], opened: Promise.withResolvers() }));
  let told = false;
  let starting: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  if (new Set(subscriptions.map(({ name }) => name)).size < subscriptions.length)
    throw new Error(`${service} has two subscriptions of one name`);

  async function start(): Promise<void> {
    if (subscriptions.length === 0) return;
    const known = await registerSubscriptions(database, subscriptions);
    await keeper.start();
    announcer?.start();
    for (const one of running) {
      const parts = known.get(one.subscription.name) ?? 0;
      // A broker that is away must not hold up the start of a service; whoever reads logs must not start before its parts are joined.
      if (transport.parts !== undefined && parts === 0) void openWhenKnown(one);
      else await open(one, parts);
    }
  }

  async function openWhenKnown(one: Running): Promise<void> {
    const { name, publisher } = one.subscription;
    while (!stopping.closed) {
      try {
        const parts = await transport.parts!(publisher);
        if (stopping.closed) return;
        const opening = splitSubscription(database, name, parts).then((known) => open(one, known));
        openings.push(opening);
        await opening;
        return;
      } catch (error) {
        if (stopping.closed) return;
        if (!told)
          log.warn({ error, service, subscription: name, publisher }, "a subscription cannot begin, it and others try until they can");
        told = true;
        await stopping.pause(retryMs);
      }
    }
  }

  async function open(one: Running, parts: number): Promise<void> {
    const { name, publisher } = one.subscription;
    if (transport.parts === undefined && parts > 0)
      await joinSubscription(database, name, (await readReach(clients, service, publisher, true)).relayed);
    if (transport.parts === undefined) one.lanes = [lane(one, undefined)];
    else {
      const { pauseMs = options.pauseMs } = one.subscription;
      const shared = new SharedBatches({ ...options, subscription: one.subscription, database, pauseMs });
      endings.push(() => shared.close());
      one.lanes = Array.from({ length: parts }, (_, part) => lane(one, part, shared));
    }
    await keeper.add(one.lanes.map(({ loop }) => loop));
    one.opened.resolve();
  }

  function lane({ subscription }: Running, part: number | undefined, shared?: SharedBatches): Lane {
    const { pauseMs = options.pauseMs } = subscription;
    const name = part === undefined ? subscription.name : partName(subscription.name, part);
    const loop = new SubscriptionLoop({
      ...needs,
      subscription: { ...subscription, name },
      source: transport.source(subscription, part),
      options: { ...options, pauseMs },
      lost: () => keeper.hurry(),
      parked: () => announcer?.wake(),
      ...(shared && { shared }),
    });
    endings.push(transport.listen(subscription, part, () => loop.wake()));
    loop.start();
    return { part, loop };
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => undefined); // whoever started has been told
    if (starting === undefined || subscriptions.length === 0) return;
    stopping.close();
    await Promise.allSettled(openings);
    const lanes = running.flatMap((one) => one.lanes);
    await Promise.all([...endings.map(async (end) => end()), ...lanes.map(({ loop }) => loop.stop()), announcer?.stop()]);
    await keeper.stop();
  }

  async function settle(one: Running): Promise<void> {
    const reach = await transport.reach(one.subscription.publisher, true);
    await one.opened.promise;
    while (!stopping.closed) {
      const stands = standsOf(one, await rowOf(one));
      const behind = one.lanes.filter((_, nth) => !hasPassed(stands[nth]!, reach));
      if (behind.length === 0) return;
      for (const { loop } of behind) loop.wake();
      await Promise.race(behind.map(({ loop }) => loop.moved(lookMs)));
    }
    throw new Error(`${one.subscription.name} was stopped before it had caught up`);
  }

  async function rowOf({ subscription }: Running): Promise<SubscriptionTotals> {
    const row = (await subscriptionRows(database)).find(({ name }) => name === subscription.name);
    if (row === undefined) throw new Error(`${subscription.name} has not been started`);
    return row;
  }

  /** Where each lane stands: as this process knows it while it holds the lease, or as it is stored. */
  function standsOf({ lanes }: Running, row: SubscriptionTotals): LaneStand[] {
    return lanes.map(({ part, loop }) => {
      const stored = part === undefined ? row : row.parts.find((each) => each.part === part);
      if (stored === undefined) throw new Error(`${loop.name} has not been started`);
      if (loop.stand !== undefined && loop.lease?.fence === stored.fence) return { part, stand: loop.stand };
      // Somebody has taken it back to the beginning, or has it now, and this process has not heard of it yet.
      if (loop.lease !== undefined && loop.lease.fence < stored.fence) keeper.hurry();
      return { part, stand: stored };
    });
  }

  async function statusOf(one: Running): Promise<SubscriptionStatus> {
    const row = await rowOf(one);
    const { name, publisher, applied, parked, skipped } = row;
    const reach = await transport.reach(publisher, false);
    const stands = one.lanes.length === 0 ? [{ part: undefined, stand: row }] : standsOf(one, row);
    const places = stands.map(({ part, stand }) => reachedPlace(stand, part, reach.relayed));
    const { epoch, xid, position } = places.toSorted(comparePlaces)[0]!;
    return { name, publisher, applied, parked, skipped, position: { epoch, xid, position }, lag: lagOf(stands, reach) };
  }

  return {
    start: () => (starting ??= start()),
    stop: () => (stopped ??= stop()),
    caughtUp: async () => void (await Promise.all(running.map(settle))),
    status: () => Promise.all(running.map(statusOf)),
  };
}

interface LaneStand {
  readonly part: number | undefined;
  readonly stand: Stand;
}

function hasPassed({ part, stand }: LaneStand, { head, relayed }: Reach): boolean {
  return comparePlaces(reachedPlace(stand, part, relayed), relayed ?? head) >= 0;
}

function lagOf(stands: readonly LaneStand[], { head, relayed }: Reach): number {
  if (relayed === undefined) return stands.reduce((sum, { stand }) => sum + between(stand, head), 0);
  return stands.reduce(
    (sum, { part, stand }) =>
      sum + (part === undefined || hasPassed({ part, stand }, { head, relayed }) ? 0 : recordsLeft(stand, part, relayed)),
    between(relayed, head),
  );
}

function between(from: Place, to: Place): number {
  return comparePlaces(to, from) > 0 ? Math.max(1, Number(BigInt(to.position) - BigInt(from.position))) : 0;
}
