import { hostname } from "node:os";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Component, Lifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../configuration.ts";
import { databasesComponent } from "../databases.ts";
import type { AppEngines } from "../engines.ts";
import type { HostedServices } from "../hosted-services.ts";
import { addressesOf } from "../installation.ts";
import type { Placement } from "../placement.ts";
import type { AppRpc } from "../rpc.ts";
import type { Storage } from "../storage.ts";
import type { DevelopmentServers } from "./development-servers.ts";
import { gatewayComponent } from "./gateway-component.ts";
import { opsComponent } from "./ops-component.ts";
import { rpcServerComponent } from "./rpc-server-component.ts";
import { serviceComponents } from "./service-components.ts";

export interface AppParts {
  readonly config: Configuration;
  readonly placement: Placement;
  readonly shop: boolean;
  readonly installation: InstallationConfig;
  readonly clock: Clock;
  readonly log: Logger;
  readonly storage: Storage;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly connections: AppRpc;
  readonly engines: AppEngines;
  readonly services: HostedServices;
  /** A shop has them; undefined without one. */
  readonly development: DevelopmentServers | undefined;
  /** The one that the components will be added to. */
  readonly lifecycle: Lifecycle;
}

/** What starts in this order and stops in the reverse one. An attached app serves calls only: it does not continue the shop's sagas and tasks. */
export async function appComponents(parts: AppParts): Promise<readonly Component[]> {
  const { storage, databases, engines, connections, services, development, shop } = parts;
  const { logs, ...work } = serviceComponents(services.hosted);
  return [
    { name: "storage", stop: () => storage.stop() },
    { name: "installation lock", stop: () => storage.release() },
    databasesComponent(databases),
    { name: "engines", start: () => engines.start(), stop: () => engines.stop() },
    { name: "rpc", stop: () => connections.stop() },
    logs,
    ...(shop ? [services.relays, ...(development?.components ?? []), ...(await shopComponents(parts, work))] : []),
  ];
}

/** What only a shop does: the work of its services, and what it listens for. */
async function shopComponents(parts: AppParts, work: Omit<ReturnType<typeof serviceComponents>, "logs">): Promise<readonly Component[]> {
  const { config, placement, installation, clock, log, databases, connections, services, engines, lifecycle } = parts;
  const { rpc, remotes, tokens, tls } = connections;
  const instance = config.instance ?? hostname().toLowerCase();
  const ready = async () => (await lifecycle.ready()).ready;
  const serves = services.hosted.length > 0;
  const components: Component[] = [];
  if (serves) components.push({ name: "mailer", start: () => services.mailer.start(), stop: () => services.mailer.stop() });
  components.push(work.services);
  if (placement.listen !== undefined && serves)
    components.push(
      await rpcServerComponent({ config, listen: placement.listen, methods: rpc.methods, tokens, tls, instance, ready, log }),
    );
  components.push(work.subscriptions, work.tasks);
  if (placement.roles.has("gateway")) {
    const { publicUrl, masterKey } = installation;
    const clientsFor = (caller: string) => rpc.clientsFor(caller);
    components.push(
      await gatewayComponent({
        config,
        alone: placement.alone,
        clientsFor,
        cache: engines.cache,
        publicUrl,
        masterKey,
        addresses: addressesOf(config),
        clock,
        ready,
        log,
      }),
    );
  }
  if (config.opsPort !== undefined) {
    const shown = { instance, remotes, services: services.hosted, databases };
    components.push(await opsComponent({ config, port: config.opsPort, shown, lifecycle, log }));
  }
  return components;
}
