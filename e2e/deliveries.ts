import { setImmediate } from "node:timers/promises";
import type { Database } from "@kontor/platform/database/database.ts";
import { writeSql } from "@kontor/platform/database/writes.ts";
import type { RecordedEvent, Subscription } from "@kontor/platform/events/events.ts";
import { listParked, replayParked } from "@kontor/platform/events/subscriptions/parked.ts";
import { createSubscriptions } from "@kontor/platform/events/subscriptions/subscriptions.ts";
import type { Subscriptions, SubscriptionsNeeds } from "@kontor/platform/events/subscriptions/subscriptions.ts";
import type { Engines } from "@kontor/platform/service/host-service.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";

/** When events arrive at their subscribers. */
export interface Deliveries {
  /** The service with its subscriptions under this control. */
  of(definition: ServiceDefinition): ServiceDefinition;
  readonly engines: Pick<Engines, "subscriptions">;
  /** Nothing is delivered to the service any more, until `deliver`. */
  delay(service: string): Promise<void>;
  /** All that waits is delivered, and all that comes. */
  deliver(): Promise<void>;
  isLate(service: string): boolean;
  /** The service cannot apply events about this order: they are parked, until `replay`. */
  park(service: string, order: string): void;
  /** An operator has all that is parked tried again: resolves when it is applied, except where deliveries are late. */
  replay(): Promise<void>;
  /** All that was applied since `forget` is applied once more, in the order in which it was. */
  repeat(): Promise<void>;
  /** What was applied up to now is not repeated. */
  forget(): void;
  /** Called for each event whose effect a service has for the first time. */
  applied: (service: string, event: RecordedEvent) => void;
}

interface Started {
  readonly needs: SubscriptionsNeeds;
  inner: Subscriptions;
}

interface State {
  /** By service. */
  readonly started: Map<string, Started>;
  readonly late: Set<string>;
  readonly parked: Set<string>;
  /** What was applied, by subscription and id. */
  readonly history: Map<string, Map<string, RecordedEvent>>;
  /** By service, as it made them. */
  readonly subscriptions: Map<string, readonly Subscription[]>;
  readonly ended: WeakSet<Subscriptions>;
}

export function openDeliveries(): Deliveries {
  const state: State = {
    started: new Map(),
    late: new Set(),
    parked: new Set(),
    history: new Map(),
    subscriptions: new Map(),
    ended: new WeakSet(),
  };
  const { started, late, parked, history } = state;
  const deliveries: Deliveries = {
    of: (definition) => controlled(definition, state, (service, event) => deliveries.applied(service, event)),
    engines: { subscriptions: (needs) => replaceable(needs, state) },
    delay: async (service) => {
      if (late.has(service)) return;
      late.add(service);
      await end(state, started.get(service)!.inner);
    },
    deliver: async () => {
      for (const service of late) {
        const own = started.get(service)!;
        own.inner = createSubscriptions(own.needs);
        late.delete(service);
        await own.inner.start();
      }
    },
    isLate: (service) => late.has(service),
    park: (service, order) => void parked.add(`${service} ${order}`),
    replay: async () => {
      parked.clear();
      const running = [...started.values()].filter(({ needs }) => !late.has(needs.service));
      for (const { needs } of running) await replayParked(needs.database);
      for (const { needs } of running) await noneParked(needs.database);
    },
    repeat: async () => {
      for (const [service, subscriptions] of state.subscriptions)
        for (const subscription of subscriptions)
          await applyAgain(started.get(service)!.needs.database, subscription, [...(history.get(subscription.name)?.values() ?? [])]);
    },
    forget: () => history.clear(),
    applied: () => undefined,
  };
  return deliveries;
}

/** The service, whose subscriptions fail at what is to be parked, and record what they have applied. */
function controlled(
  definition: ServiceDefinition,
  { parked, history, subscriptions }: State,
  applied: Deliveries["applied"],
): ServiceDefinition {
  const { name } = definition;
  const wrapped = (subscription: Subscription): Subscription => ({
    ...subscription,
    apply: async (tx, events) => {
      for (const event of events)
        if (parked.has(`${name} ${orderOf(event)}`)) throw new Error(`${name} cannot apply events of ${orderOf(event)}`);
      const writes = await subscription.apply(tx, events);
      tx.afterCommit(() => {
        const known = history.get(subscription.name) ?? new Map<string, RecordedEvent>();
        history.set(subscription.name, known);
        for (const event of events) {
          known.set(event.id, event);
          applied(name, event);
        }
      });
      return writes;
    },
  });
  return {
    ...definition,
    load: async () => {
      const { createService } = await definition.load();
      return {
        createService: (context) => {
          const service = createService(context);
          subscriptions.set(name, service.subscriptions ?? []);
          return { ...service, subscriptions: (service.subscriptions ?? []).map(wrapped) };
        },
      };
    },
  };
}

/** Subscriptions that can be stopped, and followed by others of the same needs. */
function replaceable(needs: SubscriptionsNeeds, state: State): Subscriptions {
  const own: Started = { needs, inner: createSubscriptions(needs) };
  state.started.set(needs.service, own);
  return {
    start: async () => {
      if (!state.late.has(needs.service)) await own.inner.start();
    },
    stop: () => end(state, own.inner),
    caughtUp: async () => {
      const { inner } = own;
      try {
        await inner.caughtUp();
      } catch (error) {
        // Who waited goes round again, with the one that came in its place.
        if (!state.ended.has(inner)) throw error;
      }
    },
    status: () => own.inner.status(),
  };
}

async function end({ ended }: State, subscriptions: Subscriptions): Promise<void> {
  ended.add(subscriptions);
  await subscriptions.stop();
}

/** Resolves when all that was replayed is applied; throws when something cannot be. */
async function noneParked(database: Database): Promise<void> {
  for (;;) {
    const events = await listParked(database);
    const failed = events.find(({ attempts }) => attempts > 0);
    if (failed !== undefined) throw new Error(`${failed.subscription} cannot apply ${failed.type} of ${failed.stream}: ${failed.cause}`);
    if (events.length === 0) return;
    await setImmediate();
  }
}

async function applyAgain(database: Database, subscription: Subscription, events: readonly RecordedEvent[]): Promise<void> {
  if (events.length === 0) return;
  await database.transaction(async (tx) => {
    const writes = await subscription.apply(tx, events);
    if (writes !== undefined) await tx.run(writeSql(writes));
  });
}

/** The order that an event is about. */
function orderOf({ data }: RecordedEvent): string {
  const { order, payment } = data as unknown as { order?: string | { order: string }; payment?: { order: string } };
  return typeof order === "string" ? order : (order?.order ?? payment?.order ?? "");
}
