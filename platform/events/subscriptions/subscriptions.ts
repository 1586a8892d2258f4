import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Subscription } from "../events.ts";
import type { EventTransport } from "../transport/event-transport.ts";
import { rpcTransport } from "../transport/rpc-transport.ts";
import type { Wakeups } from "../wakeups.ts";
import { DeadLetterAnnouncer } from "./dead-letter-announcer.ts";
import { LeaseManager } from "./lease-manager.ts";
import { RunningSubscription } from "./running-subscription.ts";
import type { SubscriptionStatus } from "./running-subscription.ts";
import type { LoopOptions } from "./subscription-loop.ts";
import { registerSubscriptions } from "./subscription-store.ts";

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
  /** How the events arrive: absent when each publisher's log is read through its own rpc. */
  readonly transport?: EventTransport;
  readonly options?: Partial<LoopOptions>;
}

/** The subscriptions of one service in this process. Other processes may run them too: for each event one of them applies it. */
export interface Subscriptions {
  /** Must run after the event logs of this process have started, whose signals it listens to. */
  start(): Promise<void>;
  /** Ends after the batches under way and releases the leases, so that another process can go on at once. */
  stop(): Promise<void>;
  /** Resolves when every event that was committed before this call is applied or parked, in whatever process. */
  caughtUp(): Promise<void>;
  status(): Promise<SubscriptionStatus[]>;
}

/** Runs the subscriptions of a service. Throws when two have the same name. */
export function createSubscriptions(needs: SubscriptionsNeeds): Subscriptions {
  const { service, subscriptions, database, clients, wakeups, log } = needs;
  if (new Set(subscriptions.map(({ name }) => name)).size < subscriptions.length)
    throw new Error(`${service} has two subscriptions of the same name`);
  const options = { ...defaults, ...needs.options };
  const transport = needs.transport ?? rpcTransport({ service, subscriptions, clients, wakeups, log });
  const leaseManager = new LeaseManager({
    service,
    database,
    log,
    leaseMs: options.leaseMs,
    subscriptions: subscriptions.map(({ name }) => name),
    share: transport.partitioning !== undefined,
  });
  const announcer = transport.announce && new DeadLetterAnnouncer({ service, database, log, announce: transport.announce });
  const stopping = new AbortController();
  const onParked = () => announcer?.wake();
  const running = subscriptions.map(
    (each) =>
      new RunningSubscription(each, { ...needs, transport, leaseManager, options, stopping: stopping.signal, onParked, onStartFailure }),
  );
  let startFailed = false;
  let starting: Promise<void> | undefined;
  let stopped: Promise<void> | undefined;

  /** One line for all subscriptions: they all wait for the same broker. */
  function onStartFailure(error: unknown, { name, publisher }: Subscription): void {
    if (!startFailed)
      log.warn({ error, service, subscription: name, publisher }, "a subscription could not start, it and others try again until they can");
    startFailed = true;
  }

  async function start(): Promise<void> {
    if (subscriptions.length === 0) return;
    const partitions = await registerSubscriptions(database, subscriptions);
    await leaseManager.start();
    announcer?.start();
    for (const [nth, { name }] of subscriptions.entries()) await running[nth]!.start(partitions.get(name) ?? 0);
  }

  async function stop(): Promise<void> {
    await starting?.catch(() => undefined); // the caller of start got the error
    if (starting === undefined || subscriptions.length === 0) return;
    stopping.abort(new Error(`${service} was stopped before its subscriptions had caught up`));
    await Promise.all([...running.map((each) => each.stop()), announcer?.stop()]);
    await leaseManager.stop();
  }

  return {
    start: () => (starting ??= start()),
    stop: () => (stopped ??= stop()),
    caughtUp: async () => void (await Promise.all(running.map((each) => each.caughtUp()))),
    status: () => Promise.all(running.map((each) => each.status())),
  };
}
