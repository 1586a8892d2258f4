import { randomBytes } from "node:crypto";
import type { Registry } from "@bufbuild/protobuf";
import type { Cache } from "../cache/cache.ts";
import { createMemoryCache } from "../cache/memory.ts";
import { ManualClock } from "../clock/clock.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { createWakeups } from "../events/wakeups.ts";
import { createIds } from "../ids/ids.ts";
import type { Mail, Mailer } from "../mail/mail.ts";
import { rootCall } from "../call/call.ts";
import type { Call, User } from "../call/call.ts";
import { createInProcessRpc } from "../rpc/in-process.ts";
import type { Clients, Route, Rpc } from "../rpc/rpc.ts";
import { hostService, platformMigrations, settleServices } from "../service/host-service.ts";
import type { Engines, HostedService } from "../service/host-service.ts";
import type { InstallationConfig, ServiceDefinition } from "../service/service.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests, openTestDatabase } from "./postgres.ts";

export interface TestServicesOptions {
  /** The services under test, each with a database of its own. */
  readonly services: readonly ServiceDefinition[];
  /** All contracts. */
  readonly registry: Registry;
  /** Substitutes of other services, by name. */
  readonly others?: Readonly<Record<string, readonly Route[]>>;
  readonly clock?: ManualClock;
  /** Gets the mails; by default they are collected in `mails`. */
  readonly mail?: Mailer;
  /** One that is shared with others; a memory of their own by default. */
  readonly cache?: Cache;
  /** Engines over the embedded ones; started and stopped by the caller. */
  readonly engines?: Partial<Engines>;
  readonly config?: Partial<InstallationConfig>;
  /** The values of a service's own variables, by its name; their defaults without them. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly log?: Logger;
  /** Put around the database that a service's code gets. */
  readonly around?: (service: string, database: PostgresDatabase) => PostgresDatabase;
}

export interface TestServices {
  readonly clock: ManualClock;
  readonly rpc: Rpc;
  readonly config: InstallationConfig;
  readonly services: ReadonlyMap<string, HostedService>;
  /** Mails that were sent, when no mailer was given. */
  readonly mails: Mail[];
  /** Clients as another service of the installation has them. */
  readonly clients: Clients;
  /** Resolves when all events are applied and all due tasks done. */
  settle(): Promise<void>;
  /** Moves the clock and settles. */
  pass(ms: number): Promise<void>;
}

/**
 * Services on real databases in this process, with frozen messages and a clock that stays at 2026-03-02 09:00 UTC until it is moved.
 * Stopped after the test or suite that opened them.
 */
export async function openTestServices(options: TestServicesOptions): Promise<TestServices> {
  const clock = options.clock ?? new ManualClock(new Date("2026-03-02T09:00:00Z"));
  const log = options.log ?? quiet;
  const mails: Mail[] = [];
  const hosted: HostedService[] = [];
  const rpc = createInProcessRpc({ log, freeze: true });
  // Before the databases' own hooks, because hooks run in the order in which they were made.
  afterTests(async () => {
    await Promise.all(hosted.map(({ tasks }) => tasks.stop()));
    await Promise.all(hosted.map(({ subscriptions }) => subscriptions.stop()));
    await Promise.all(hosted.map(async ({ service }) => service.stop?.()));
    await Promise.all(hosted.map((service) => service.log.stop()));
    await rpc.stop();
  });
  const config: InstallationConfig = {
    publicUrl: "http://shop.test",
    shopName: "Test Shop",
    host: "localhost",
    masterKey: randomBytes(32),
    ...options.config,
  };
  const shared = {
    rpc,
    clock,
    config,
    log,
    registry: options.registry,
    wakeups: createWakeups({ log }),
    cache: options.cache ?? createMemoryCache({ maxEntries: 10_000 }),
    ids: createIds(clock),
    ...(options.engines && { engines: options.engines }),
  };
  for (const [name, routes] of Object.entries(options.others ?? {})) rpc.serve(name, routes);
  const opened = await Promise.all(
    options.services.map(async (definition) => {
      const own = definition.migrations === undefined ? [] : [{ scope: definition.name, folder: definition.migrations }];
      const database = await openTestDatabase({ name: definition.name, migrations: [...platformMigrations, ...own], log });
      return { definition, database: options.around?.(definition.name, database) ?? database };
    }),
  );
  const mail = options.mail ?? { send: async (sent: Mail) => void mails.push(sent) };
  for (const { definition, database } of opened)
    hosted.push(await hostService(definition, { ...shared, database, mail, settings: options.settings?.[definition.name] }));
  await Promise.all(hosted.map((service) => service.log.start()));
  await Promise.all(hosted.map(async ({ service }) => service.start?.()));
  await Promise.all(hosted.map(({ subscriptions }) => subscriptions.start()));
  await Promise.all(hosted.map(({ tasks }) => tasks.start()));
  const settle = () => settleServices(hosted);
  return {
    clock,
    rpc,
    config,
    mails,
    services: new Map(hosted.map((service) => [service.name, service])),
    clients: rpc.clientsFor("test"),
    settle,
    pass: async (ms) => {
      clock.advance(ms);
      await settle();
    },
  };
}

/** A call as a test makes it: from another service of the installation, for a user if one is passed. */
export function testCall(
  options: { readonly user?: Partial<User>; readonly idempotencyKey?: string; readonly caller?: string; readonly timeoutMs?: number } = {},
): Call {
  const { user, idempotencyKey, caller = "test", timeoutMs = 10_000 } = options;
  return rootCall({
    caller,
    timeoutMs,
    ...(user && { user: { id: "usr_test", session: "ses_test", roles: [], verified: true, ...user } }),
    ...(idempotencyKey !== undefined && { idempotencyKey }),
  });
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
