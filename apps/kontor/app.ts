import { hostname } from "node:os";
import { contracts } from "@kontor/contracts/registry.ts";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { connectionsMin, createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import type { EmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { createLifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Lifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import { createSmtpMailer } from "@kontor/platform/mail/smtp-mailer.ts";
import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { openRemotes } from "@kontor/platform/rpc/remotes.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { hostService, settleServices } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { InstallationConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import { openEngines } from "./engines.ts";
import { derived, masterKeyOf } from "./master-key.ts";
import { migrationsOf } from "./migrations.ts";
import { placementOf } from "./placement.ts";
import type { Placement } from "./placement.ts";
import { databaseNames, serviceNames } from "./roles.ts";
import type { Role } from "./roles.ts";
import { gatewayComponent } from "./components/gateway-component.ts";
import { opsComponent } from "./components/ops-component.ts";
import { openDevelopmentServers } from "./components/development-servers.ts";
import { rpcServerComponent } from "./components/rpc-server-component.ts";
import { loadServices } from "./services.ts";
import { openStorage } from "./storage.ts";
import type { Storage } from "./storage.ts";
import { openTls } from "./tls.ts";

export interface AppOptions {
  readonly config: Configuration;
  readonly log: Logger;
  readonly clock?: Clock;
  /**
   * "shop" serves, works off tasks and applies events, and is the only one on its embedded data; "attached" only offers the services' calls to this
   * process, beside a running shop or without one.
   */
  readonly as: "shop" | "attached";
  /** What of the house runs here: all of it by default. */
  readonly roles?: readonly Role[];
  /** Settings of the embedded PostgreSQL over ours, for tests and benchmarks. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Freezes what is sent, so that a service that changes it is found. For tests. */
  readonly freeze?: boolean;
}

export interface Addresses {
  readonly api: string;
  readonly mailbox: string;
  readonly provider: string;
  readonly smtp: string;
}

/** A running house, or the part of it that runs in this process. */
export interface App {
  readonly lifecycle: Lifecycle;
  readonly addresses: Addresses;
  /** Undefined when the databases are on a server. */
  readonly postgres: EmbeddedPostgres | undefined;
  /** By service name, and "mailbox" and "provider": those of this process. */
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly services: readonly HostedService[];
  /** What publishes the logs where they go over a broker: a shop's run by themselves. */
  readonly relays: { start(): Promise<void>; stop(): Promise<void> };
  /** Clients for calls that start outside of the services, under the caller's name given. */
  clientsFor(caller: string): Clients;
  /** Resolves when all events are applied, all due tasks done, and all sagas and webhooks under way ended, as far as this process has to do with them. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Opens the house, or a part of it: databases, services and what they stand on. Throws, with what to do, when the data, a port, a server or the
 * configuration is not as it must be; what was started is stopped then.
 */
export async function openApp(options: AppOptions): Promise<App> {
  const { config, log, as, roles } = options;
  const placement = as === "attached" ? attachedPlacement(config) : placementOf(config, roles);
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  let lifecycle: Lifecycle | undefined;
  const storage = await openStorage({
    config,
    names: databaseNames.filter((name) => placement.roles.has(name)),
    masterKey,
    shop: as === "shop",
    log,
    ...(options.settings && { settings: options.settings }),
    died: (error) => {
      log.error({ error }, "PostgreSQL has ended unexpectedly; the shop stops at once, start it again");
      process.exitCode = 1;
      lifecycle?.fail(error);
      void lifecycle?.stop();
    },
  });
  // What is open before there is a lifecycle that could close it.
  const opened: (() => Promise<void> | void)[] = [() => storage.stop(), () => storage.release()];
  try {
    return await compose(options, placement, storage, masterKey, opened, (life) => (lifecycle = life));
  } catch (error) {
    // What the lifecycle had started it has stopped.
    if (lifecycle === undefined) for (const close of opened.toReversed()) await close();
    throw error;
  }
}

/** Who only looks in has all services with it: the shop's own processes need not run. */
function attachedPlacement(config: Configuration): Placement {
  const { roles } = placementOf({ ...config, rpc: undefined });
  return { roles, alone: true, remotes: new Map(), listen: undefined };
}

async function compose(
  { config, log, clock = systemClock, as, freeze = false }: AppOptions,
  placement: Placement,
  storage: Storage,
  masterKey: Uint8Array,
  opened: (() => Promise<void> | void)[],
  begun: (lifecycle: Lifecycle) => void,
): Promise<App> {
  const { roles } = placement;
  const shop = as === "shop";
  const instance = config.instance ?? hostname().toLowerCase();
  const names = serviceNames.filter((name) => roles.has(name));
  const definitions = await loadServices(names);

  const connectionsLeast = connectionsMin(storage.connections.size + storage.replicas.size);
  if (config.connections < connectionsLeast)
    throw new ConfigError([
      { variable: "KONTOR_CONNECTIONS", message: `must be ${connectionsLeast} or more for the databases of this process` },
    ]);
  const budget = createConnectionBudget({ connections: config.connections, background: Math.ceil(config.connections * 0.3) });
  const databases = new Map(
    Array.from(storage.connections, ([name, connection]) => {
      const replica = storage.replicas.get(name);
      return [name, openDatabase({ name, connection, budget, log: log.child({ service: name }), ...(replica && { replica }) })] as const;
    }),
  );
  const closeDatabases = async () => void (await Promise.all([...databases.values()].map((database) => database.stop())));
  opened.push(closeDatabases);
  const migrations = await migrationsOf([...databases.keys()]);
  await Promise.all(Array.from(databases, ([name, database]) => migrate(database, migrations.get(name)!)));

  const addresses = addressesOf(config);
  const installation: InstallationConfig = {
    publicUrl: config.publicUrl ?? addresses.api,
    shopName: config.shopName,
    mailFrom: config.mailFrom,
    masterKey,
    payments: {
      providerUrl: addresses.provider,
      apiKey: derived(masterKey, "provider api key").toString("base64url"),
      webhookSecret: `whsec_${derived(masterKey, "provider webhooks").toString("base64")}`,
    },
  };
  const ids = createIds(clock);
  const tokens = tokenCallers(masterKey);
  const tls = await openTls(config, placement, log.child({ service: "tls" }));
  const remotes = await openRemotes({
    services: placement.remotes,
    callers: tokens,
    log: log.child({ service: "rpc" }),
    ...(tls && { tls: tls.identity }),
  });
  const closeWires = () => {
    remotes.close();
    tls?.files.stop();
  };
  opened.push(closeWires);
  const rpc = createInProcessRpc({ log: log.child({ service: "rpc" }), freeze, remotes });
  // A shop that is alone needs no notifications; what an attached process appends it hears of at once.
  const wakeups = createWakeups({ log: log.child({ service: "events" }), notifyMs: shop && placement.alone ? 1_000 : 20 });
  const engines = await openEngines({ config, alone: placement.alone, log });
  const mailer = createSmtpMailer({ url: config.smtpUrl ?? addresses.smtp, log: log.child({ service: "mail" }), clock });

  const hosted = definitions.map((definition) =>
    hostService(definition, {
      engines: engines.forServices,
      database: databases.get(definition.name)!,
      rpc,
      wakeups,
      cache: engines.cache,
      mail: mailer,
      clock,
      ids,
      config: installation,
      registry: contracts,
      log: log.child({ service: definition.name }),
    }),
  );

  const life = createLifecycle({ log });
  const ready = async () => (await life.ready()).ready;
  life.add({ name: "storage", stop: () => storage.stop() });
  life.add({ name: "installation lock", stop: () => storage.release() });
  life.add({
    name: "databases",
    stop: closeDatabases,
    ready: () => databasesAnswer(databases),
  });
  life.add({ name: "engines", start: () => engines.start(), stop: () => engines.stop() });
  life.add({
    name: "rpc",
    stop: async () => {
      await rpc.stop();
      closeWires();
    },
  });
  life.add({
    name: "event logs",
    start: () => each(hosted, (service) => service.log.start()),
    stop: () => each(hosted, (service) => service.log.stop()),
  });
  const relays = (engines.kafka === undefined ? [] : hosted).map(({ name, database }) =>
    engines.kafka!.relay({ service: name, database, wakeups, log: log.child({ service: name }) }),
  );
  const startRelays = async () => void (await Promise.all(relays.map((relay) => relay.start())));
  const stopRelays = async () => void (await Promise.all(relays.map((relay) => relay.stop())));
  if (shop && relays.length > 0) life.add({ name: "relays", start: startRelays, stop: stopRelays });
  const developmentServers = shop
    ? await openDevelopmentServers({ config, roles, databases, installation, addresses, clock, log })
    : undefined;
  for (const component of developmentServers?.components ?? []) life.add(component);
  // An attached house answers calls; it does not go on with the shop's sagas and tasks.
  if (shop) {
    if (names.length > 0) life.add({ name: "mailer", start: () => mailer.start(), stop: () => mailer.stop() });
    life.add({
      name: "services",
      start: () => each(hosted, ({ service }) => service.start?.()),
      stop: () => each(hosted, ({ service }) => service.stop?.()),
    });
    if (placement.listen !== undefined && names.length > 0)
      life.add(
        await rpcServerComponent({
          config,
          listen: placement.listen,
          methods: rpc.methods,
          tokens,
          tls: tls?.identity,
          instance,
          ready,
          log,
        }),
      );
    life.add({
      name: "subscriptions",
      start: () => each(hosted, (service) => service.subscriptions.start()),
      stop: () => each(hosted, (service) => service.subscriptions.stop()),
    });
    life.add({
      name: "tasks",
      start: () => each(hosted, (service) => service.tasks.start()),
      stop: () => each(hosted, (service) => service.tasks.stop()),
    });
    if (roles.has("gateway"))
      life.add(
        await gatewayComponent({
          config,
          alone: placement.alone,
          clientsFor: (caller) => rpc.clientsFor(caller),
          cache: engines.cache,
          publicUrl: installation.publicUrl,
          addresses,
          clock,
          ready,
          log,
        }),
      );
    if (config.opsPort !== undefined)
      life.add(await opsComponent({ config, port: config.opsPort, shown: { instance, remotes, services: hosted, databases }, life, log }));
  }
  begun(life);
  await life.start();
  return {
    lifecycle: life,
    addresses,
    postgres: storage.embedded,
    databases,
    services: hosted,
    relays: { start: startRelays, stop: stopRelays },
    clientsFor: (caller) => rpc.clientsFor(caller),
    settle: () => settleServices(hosted, async () => developmentServers?.idle()),
    stop: () => life.stop(),
  };
}

/** Where this machine's house is reached. */
export function addressesOf({ host, port, mailboxPort, smtpPort, providerPort, providerUrl }: Configuration): Addresses {
  const name = host === "0.0.0.0" || host === "::" || host === "127.0.0.1" ? "localhost" : host;
  return {
    api: `http://${name}:${port}`,
    mailbox: `http://${name}:${mailboxPort}`,
    provider: providerUrl ?? `http://${name}:${providerPort}`,
    smtp: `smtp://127.0.0.1:${smtpPort}`,
  };
}

async function databasesAnswer(databases: ReadonlyMap<string, PostgresDatabase>): Promise<boolean> {
  await Promise.all([...databases.values()].map((database) => database.start()));
  return true;
}

async function each(hosted: readonly HostedService[], work: (service: HostedService) => Promise<void> | undefined): Promise<void> {
  await Promise.all(hosted.map(async (service) => work(service)));
}
