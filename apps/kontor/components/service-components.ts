import type { KafkaEvents } from "@kontor/platform/events/kafka/kafka-events.ts";
import type { Wakeups } from "@kontor/platform/events/wakeups.ts";
import type { Component } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** What starts and stops with the services of this process, each kind as one component: they start in this order, with others in between. */
export interface ServiceComponents {
  readonly logs: Component;
  readonly services: Component;
  readonly subscriptions: Component;
  readonly tasks: Component;
}

/** The components of the hosted services. */
export function serviceComponents(hosted: readonly HostedService[]): ServiceComponents {
  const component = (
    name: string,
    start: (service: HostedService) => Promise<void> | undefined,
    stop: (service: HostedService) => Promise<void> | undefined,
  ): Component => ({ name, start: () => each(hosted, start), stop: () => each(hosted, stop) });
  return {
    logs: component(
      "event logs",
      ({ log }) => log.start(),
      ({ log }) => log.stop(),
    ),
    services: component(
      "services",
      ({ service }) => service.start?.(),
      ({ service }) => service.stop?.(),
    ),
    subscriptions: component(
      "subscriptions",
      ({ subscriptions }) => subscriptions.start(),
      ({ subscriptions }) => subscriptions.stop(),
    ),
    tasks: component(
      "tasks",
      ({ tasks }) => tasks.start(),
      ({ tasks }) => tasks.stop(),
    ),
  };
}

/** What publishes the services' logs over Kafka; nothing where subscribers read the logs themselves. */
export function relaysComponent(
  hosted: readonly HostedService[],
  kafka: KafkaEvents | undefined,
  wakeups: Wakeups,
  log: Logger,
): Component & { start(): Promise<void>; stop(): Promise<void> } {
  const relays =
    kafka === undefined
      ? []
      : hosted.map(({ name, database }) => kafka.relay({ service: name, database, wakeups, log: log.child({ service: name }) }));
  return {
    name: "relays",
    start: async () => void (await Promise.all(relays.map((relay) => relay.start()))),
    stop: async () => void (await Promise.all(relays.map((relay) => relay.stop()))),
  };
}

async function each(hosted: readonly HostedService[], work: (service: HostedService) => Promise<void> | undefined): Promise<void> {
  await Promise.all(hosted.map(async (service) => work(service)));
}
