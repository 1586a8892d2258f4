import { contracts } from "@kontor/contracts/registry.ts";
import { createGateway } from "@kontor/gateway/gateway.ts";
import { createProviderServer } from "@kontor/payments/provider/src/provider-server.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { createBudget } from "@kontor/platform/database/budget.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import type { EmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { holdHouse } from "@kontor/platform/database/house-lock.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import type { MigrationSet } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { provision } from "@kontor/platform/database/provision.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import { createLifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import type { Lifecycle } from "@kontor/platform/lifecycle/lifecycle.ts";
import { createMailCatcher, mailboxMigrations } from "@kontor/platform/mail/mail-catcher.ts";
import { createSmtpMailer } from "@kontor/platform/mail/smtp-mailer.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { hostService, platformMigrations, settleServices } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { HouseConfig } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import { derived, masterKeyOf } from "./master-key.ts";
import { services } from "./services.ts";

/** The databases that are no service's: the mail catcher's, and the built-in payment provider's books. */
const outsiders = ["mailbox", "provider"] as const;
const providerMigrations: MigrationSet = {
  scope: "provider",
  folder: new URL("../../services/payments/provider/migrations/", import.meta.url),
};

export interface HouseOptions {
  readonly config: Configuration;
  readonly log: Logger;
  readonly clock?: Clock;
  /**
   * "shop" serves, works off tasks and applies events, and is the only one on its data; "attached" only offers the services' calls to this
   * process, beside a running shop or without one.
   */
  readonly as: "shop" | "attached";
  /** PostgreSQL settings over ours, for tests and benchmarks. */
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

/** A running house. */
export interface House {
  readonly lifecycle: Lifecycle;
  readonly addresses: Addresses;
  readonly postgres: EmbeddedPostgres;
  /** By service name, and "mailbox" and "provider". */
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly services: readonly HostedService[];
  /** Clients for calls that start outside of the services, under the caller's name given. */
  clientsFor(caller: string): Clients;
  /** Resolves when all events are applied, all due tasks done, and all sagas and webhooks under way ended. */
  settle(): Promise<void>;
  stop(): Promise<void>;
}

/** Another shop runs on the same data. */
export class HouseTaken extends Error {}

/**
 * Opens the house on its data folder: PostgreSQL, a database for each service, and all services in this process. Throws, with what to do,
 * when the data, a port or the folder is not as it must be; what was started is stopped then.
 */
export async function openHouse({ config, log, clock = systemClock, as, settings, freeze = false }: HouseOptions): Promise<House> {
  const masterKey = await masterKeyOf(config.masterKey, config.data);
  const shop = as === "shop";
  let lifecycle: Lifecycle | undefined;
  const postgres = await startEmbeddedPostgres({
    folder: config.data,
    log: log.child({ service: "postgres" }),
    ...(settings && { settings }),
    died: (error) => {
      log.error({ error }, "PostgreSQL has ended; the shop stops");
      // Nobody has told it to: whoever watches over the process should start it again.
      process.exitCode = 1;
      void lifecycle?.stop();
    },
  });
  try {
    const lock = shop ? await holdHouse(postgres.superuser) : undefined;
    if (shop && lock === undefined)
      throw new HouseTaken(`a shop is running on ${config.data} already; stop it first, or give this one another folder with KONTOR_DATA`);
    const connections = await provision(postgres.superuser, [...services.map(({ name }) => name), ...outsiders], masterKey);
    const budget = createBudget({ connections: config.connections, background: Math.ceil(config.connections * 0.3) });
    const databases = new Map(
      Array.from(
        connections,
        ([name, connection]: [string, Connection]) =>
          [name, openDatabase({ name, connection, budget, log: log.child({ service: name }) })] as const,
      ),
    );
    await migrateAll(databases);

    const addresses = addressesOf(config);
    const houseConfig: HouseConfig = {
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
    const rpc = createInProcessRpc({ log: log.child({ service: "rpc" }), freeze });
    // All subscribers of a shop are in its own process, which needs no notifications; what an attached process appends they hear of at once.
    const wakeups = createWakeups({ log: log.child({ service: "events" }), notifyMs: shop ? 1_000 : 20 });
    const cache = createMemoryCache({ maxEntries: 50_000 });
    const mailer = createSmtpMailer({ url: config.smtpUrl ?? addresses.smtp, log: log.child({ service: "mail" }), clock });
    const hosted = services.map((definition) =>
      hostService(definition, {
        database: databases.get(definition.name)!,
        rpc,
        wakeups,
        cache,
        mail: mailer,
        clock,
        ids,
        config: houseConfig,
        registry: contracts,
        log: log.child({ service: definition.name }),
      }),
    );
    const provider = createProviderServer({
      database: databases.get("provider")!,
      log: log.child({ service: "provider" }),
      host: config.host,
      port: config.providerPort,
      apiKey: houseConfig.payments.apiKey,
      webhookSecret: houseConfig.payments.webhookSecret,
      webhookUrl: `${addresses.api}/v1/payments/webhooks/builtin`,
      clock,
    });
    const catcher = createMailCatcher({
      database: databases.get("mailbox")!,
      log: log.child({ service: "mailbox" }),
      host: config.host,
      smtpPort: config.smtpPort,
      httpPort: config.mailboxPort,
      clock,
    });
    const gateway = createGateway({
      rpc,
      log: log.child({ service: "gateway" }),
      clock,
      publicUrl: houseConfig.publicUrl,
      shopName: config.shopName,
      timeoutMs: config.requestTimeoutMs,
      ready: async () => (await lifecycle?.ready())?.ready === true,
      pages: {
        links: [
          { name: "Mailbox", url: addresses.mailbox, about: "every mail that the shop has sent" },
          { name: "Payment provider", url: addresses.provider, about: "the built-in one, with its test cards" },
        ],
      },
    });

    const life = createLifecycle({ log });
    lifecycle = life;
    life.add({ name: "postgres", stop: () => (shop ? postgres.stop() : stopUnlessShopRuns(postgres)) });
    if (lock !== undefined) life.add({ name: "house lock", stop: () => lock.release() });
    life.add({
      name: "databases",
      stop: async () => void (await Promise.all([...databases.values()].map((database) => database.stop()))),
      ready: () => databasesAnswer(databases),
    });
    life.add({ name: "rpc", stop: () => rpc.stop() });
    life.add({
      name: "event logs",
      start: () => each(hosted, (service) => service.log.start()),
      stop: () => each(hosted, (service) => service.log.stop()),
    });
    if (shop) {
      life.add({ name: "mail catcher", start: async () => void (await catcher.start()), stop: () => catcher.stop() });
      life.add({ name: "payment provider", start: async () => void (await provider.start()), stop: () => provider.stop() });
      life.add({ name: "mailer", start: () => mailer.start(), stop: () => mailer.stop() });
    }
    // An attached house answers calls; it does not go on with the shop's sagas and tasks.
    if (shop) {
      life.add({
        name: "services",
        start: () => each(hosted, ({ service }) => service.start?.()),
        stop: () => each(hosted, ({ service }) => service.stop?.()),
      });
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
      life.add({ name: "gateway", start: async () => void (await gateway.start(config.port, config.host)), stop: () => gateway.stop() });
    }
    await life.start();
    return {
      lifecycle: life,
      addresses,
      postgres,
      databases,
      services: hosted,
      clientsFor: (caller) => rpc.clientsFor(caller),
      settle: () => settleServices(hosted, () => provider.idle()),
      stop: () => life.stop(),
    };
  } catch (error) {
    // What the lifecycle had started it has stopped; before there was one, PostgreSQL is all there is.
    if (lifecycle === undefined && (!postgres.adopted || (shop && !(error instanceof HouseTaken)))) await postgres.stop();
    throw error;
  }
}

/** An adopted PostgreSQL belongs to the shop that runs on it, and one that we have started may have been adopted by a shop since. */
async function stopUnlessShopRuns(postgres: EmbeddedPostgres): Promise<void> {
  if (postgres.adopted) return postgres.leave();
  const lock = await holdHouse(postgres.superuser);
  if (lock === undefined) return postgres.leave();
  await lock.release();
  await postgres.stop();
}

function addressesOf({ host, port, mailboxPort, smtpPort, providerPort }: Configuration): Addresses {
  const name = host === "0.0.0.0" || host === "::" || host === "127.0.0.1" ? "localhost" : host;
  return {
    api: `http://${name}:${port}`,
    mailbox: `http://${name}:${mailboxPort}`,
    provider: `http://${name}:${providerPort}`,
    smtp: `smtp://127.0.0.1:${smtpPort}`,
  };
}

async function migrateAll(databases: ReadonlyMap<string, PostgresDatabase>): Promise<void> {
  const own = new Map<string, readonly MigrationSet[]>([
    ["mailbox", [mailboxMigrations]],
    ["provider", [providerMigrations]],
  ]);
  for (const { name, migrations } of services)
    own.set(name, [...platformMigrations, ...(migrations === undefined ? [] : [{ scope: name, folder: migrations }])]);
  await Promise.all(Array.from(databases, ([name, database]) => migrate(database, own.get(name)!)));
}

async function databasesAnswer(databases: ReadonlyMap<string, PostgresDatabase>): Promise<boolean> {
  await Promise.all([...databases.values()].map((database) => database.start()));
  return true;
}

async function each(hosted: readonly HostedService[], work: (service: HostedService) => Promise<void> | undefined): Promise<void> {
  await Promise.all(hosted.map(async (service) => work(service)));
}
