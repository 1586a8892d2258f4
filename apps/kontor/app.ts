import { systemClock } from "@kontor/platform/clock/clock.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { EmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { createLifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Lifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { settleServices } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { appComponents } from "./components/app-components.ts";
import { openDevelopmentServers } from "./components/development-servers.ts";
import type { Configuration } from "./configuration.ts";
import { databasesComponent, migrateAll, openDatabases } from "./databases.ts";
import { openEngines } from "./engines.ts";
import { hostServices } from "./hosted-services.ts";
import { addressesOf, installationOf } from "./installation.ts";
import type { Addresses } from "./installation.ts";
import { masterKeyOf } from "./master-key.ts";
import { placementOf } from "./placement.ts";
import type { Placement } from "./placement.ts";
import { databaseNames } from "./roles.ts";
import type { Role } from "./roles.ts";
import { openRpc } from "./rpc.ts";
import { openStorage } from "./storage.ts";

export interface AppOptions {
  readonly config: Configuration;
  readonly log: Logger;
  readonly clock?: Clock;
  /**
   * "shop" serves, works off tasks and applies events, and is the only one on its embedded data; "attached" only offers the services' calls to this
   * process, beside a running shop or without one.
   */
  readonly as: "shop" | "attached";
  /** What runs in this process: everything by default. */
  readonly roles?: readonly Role[];
  /** Settings of the embedded PostgreSQL over ours, for tests and benchmarks. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Freezes what is sent, so that a service that changes it is found. For tests. */
  readonly freeze?: boolean;
}

/** The running app: the whole shop, or the roles of this process. */
export interface App {
  readonly lifecycle: Lifecycle;
  readonly addresses: Addresses;
  /** Undefined when the databases are on a server. */
  readonly postgres: EmbeddedPostgres | undefined;
  /** By role: the services' and the development servers' of this process. */
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly services: readonly HostedService[];
  /** What publishes the logs where they go over a broker. A shop's start with it. */
  readonly relays: { start(): Promise<void>; stop(): Promise<void> };
  /** Clients for calls that start outside of the services, in the name of this caller. */
  clientsFor(caller: string): Clients;
  /** Resolves when all events are applied, all due tasks done, and all sagas and webhooks under way ended, as far as they run in this process. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Opens the app: storage, databases, connections to other processes, engines and services, and starts them. Throws, with what to do, when the data, a
 * port, a server or the configuration is not as it must be; what was started is stopped then.
 */
export async function openApp(options: AppOptions): Promise<App> {
  const { config, log, as, clock = systemClock, freeze = false } = options;
  const shop = as === "shop";
  const placement = shop ? placementOf(config, options.roles) : attachedPlacement(config);
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const lifecycle = createLifecycle({ log });
  // Closes what is open when opening fails; otherwise the lifecycle does.
  await using opened = new AsyncDisposableStack();
  const storage = await openStorage({
    config,
    names: databaseNames.filter((name) => placement.roles.has(name)),
    masterKey,
    shop,
    log,
    ...(options.settings && { settings: options.settings }),
    died: (error) => {
      log.error({ error }, "PostgreSQL has ended unexpectedly; the shop stops at once, start it again");
      process.exitCode = 1;
      if (!opened.disposed) return;
      lifecycle.fail(error);
      void lifecycle.stop();
    },
  });
  opened.defer(() => storage.stop());
  opened.defer(() => storage.release());
  const databases = openDatabases(storage, config, log);
  opened.defer(() => databasesComponent(databases).stop());
  await migrateAll(databases);
  const connections = await openRpc({ config, placement, masterKey, freeze, log });
  opened.defer(() => connections.stop());
  const engines = await openEngines({ config, alone: placement.alone, log });

  const installation = installationOf(config, masterKey);
  const shared = { config, placement, shop, installation, databases, clock, log };
  const services = await hostServices({ ...shared, rpc: connections.rpc, engines });
  const development = shop ? await openDevelopmentServers(shared) : undefined;
  const components = await appComponents({ ...shared, storage, connections, engines, services, development, lifecycle });
  for (const component of components) lifecycle.add(component);
  opened.move();
  await lifecycle.start();
  return {
    lifecycle,
    addresses: addressesOf(config),
    postgres: storage.embedded,
    databases,
    services: services.hosted,
    relays: services.relays,
    clientsFor: (caller) => connections.rpc.clientsFor(caller),
    settle: () => settleServices(services.hosted, async () => development?.idle()),
    stop: () => lifecycle.stop(),
  };
}

/** An attached process has all services in itself: the shop's own processes need not run. */
function attachedPlacement(config: Configuration): Placement {
  const { roles } = placementOf({ ...config, rpc: undefined });
  return { roles, alone: true, remotes: new Map(), listen: undefined };
}
