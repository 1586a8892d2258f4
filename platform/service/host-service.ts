import type { Registry } from "@bufbuild/protobuf";
import type { Cache } from "../cache/cache.ts";
import type { Clock } from "../clock/clock.ts";
import { readConfig } from "../config/read-config.ts";
import { idempotencyMigrations } from "../database/migrate.ts";
import type { MigrationSet } from "../database/migrate.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { sql } from "../database/sql.ts";
import type { Documents } from "../documents/documents.ts";
import { createPostgresDocuments, documentsMigrations } from "../documents/postgres.ts";
import { createEventLog } from "../events/log/event-log.ts";
import type { HostedEventLog } from "../events/log/event-log.ts";
import { createSubscriptions } from "../events/subscriptions/subscriptions.ts";
import type { Subscriptions, SubscriptionsNeeds } from "../events/subscriptions/subscriptions.ts";
import type { Wakeups } from "../events/wakeups.ts";
import type { Ids } from "../ids/ids.ts";
import type { Mailer } from "../mail/mail.ts";
import { serviceRetention } from "../retention/platform-retention.ts";
import type { Rpc } from "../rpc/rpc.ts";
import { sagaMigrations } from "../saga/embedded.ts";
import { createPostgresSearch, searchMigrations } from "../search/postgres.ts";
import type { Search } from "../search/search.ts";
import type { DeclaredQueue, DeclaredSubscription, InstallationConfig, Service, ServiceDefinition } from "./service.ts";
import { createTasks, taskMigrations } from "../tasks/embedded.ts";
import type { TasksEngine, TasksInit } from "../tasks/embedded.ts";
import type { Logger } from "../telemetry/logger.ts";
import { housekeepingQueue, startHousekeeping } from "./housekeeping.ts";

const eventMigrations: MigrationSet = { scope: "events", folder: new URL("../events/migrations/", import.meta.url) };

/** The platform's own tables in every service's database. */
export const platformMigrations: readonly MigrationSet[] = [
  eventMigrations,
  taskMigrations,
  idempotencyMigrations,
  documentsMigrations,
  searchMigrations,
  sagaMigrations,
];

/** The engines behind the seams of a service. Whoever makes them starts and stops them. */
export interface Engines {
  readonly documents: (service: string, database: PostgresDatabase) => Documents;
  readonly search: (service: string, database: PostgresDatabase) => Search;
  readonly tasks: (init: TasksInit) => TasksEngine;
  readonly subscriptions: (needs: SubscriptionsNeeds) => Subscriptions;
}

/** All of them use the service's own database. */
const embedded: Engines = {
  documents: (_, database) => createPostgresDocuments({ database }),
  search: (_, database) => createPostgresSearch({ database }),
  tasks: createTasks,
  subscriptions: createSubscriptions,
};

export interface HostNeeds {
  /** Those that are not embedded. */
  readonly engines?: Partial<Engines>;
  readonly database: PostgresDatabase;
  readonly rpc: Rpc;
  readonly wakeups: Wakeups;
  readonly cache: Cache;
  readonly mail: Mailer;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly config: InstallationConfig;
  /** The values of the service's own variables; their defaults without them. */
  readonly settings?: unknown;
  readonly registry: Registry;
  readonly log: Logger;
}

/** A service with the engines that it runs on. */
export interface HostedService {
  readonly name: string;
  readonly service: Service;
  readonly database: PostgresDatabase;
  readonly log: HostedEventLog;
  readonly subscriptions: Subscriptions;
  readonly tasks: TasksEngine;
  /** A text that changes whenever something happened in the service: its newest event, finished tasks, applied events. */
  progress(): Promise<string>;
}

/**
 * Loads a service's code, creates the service on its engines (the embedded ones unless others are passed) and serves its routes. Throws when its
 * subscriptions or queues are not those that its definition declares.
 */
export async function hostService(definition: ServiceDefinition, needs: HostNeeds): Promise<HostedService> {
  const { name } = definition;
  const { createService } = await definition.load();
  const { database, rpc, wakeups, clock, ids, log } = needs;
  const engines = { ...embedded, ...needs.engines };
  const clients = rpc.clientsFor(name);
  const events = createEventLog({ service: name, database, clock, ids, registry: needs.registry, wakeups, log });
  const documents = engines.documents(name, database);
  const retentions = serviceRetention(definition.retention);
  const collections = (definition.documents ?? []).map((collection) => collection.name);
  const tasks = engines.tasks({
    service: name,
    database,
    queues: () => [...(service.queues ?? []), housekeepingQueue({ database, clock, log, documents, retentions, collections })],
    clock,
    ids,
    log,
  });
  const service: Service = createService({
    database,
    clients,
    events,
    tasks,
    documents,
    cache: needs.cache,
    search: engines.search(name, database),
    mail: needs.mail,
    clock,
    ids,
    log,
    config: needs.config,
    settings: needs.settings ?? readConfig(definition.settings ?? {}, {}),
  });
  checkDeclared(definition, service);
  const subscriptions = engines.subscriptions({
    service: name,
    subscriptions: service.subscriptions ?? [],
    database,
    clients,
    wakeups,
    clock,
    log,
  });
  rpc.serve(name, [...service.routes, events.route], { database, clock });
  const start = async (): Promise<void> => {
    await service.start?.();
    await startHousekeeping({ database, tasks, name });
  };
  return {
    name,
    service: { ...service, start },
    database,
    log: events,
    subscriptions,
    tasks,
    progress: () => progressOf(database),
  };
}

async function progressOf(database: PostgresDatabase): Promise<string> {
  const { progress } = await database.one<{ progress: string }>(
    sql`select coalesce((select max(position) from events), 0) || '/' || (select count(*) from tasks where state = 'done') || '/'
      || coalesce((select sum(applied) from subscriptions), 0) as progress`,
  );
  return progress;
}

/** What others read in a definition must be what its code does. */
function checkDeclared({ name, subscriptions = [], queues = [] }: ServiceDefinition, service: Service): void {
  const shapeOf = (subscription: DeclaredSubscription) =>
    `subscription ${subscription.name} of ${subscription.publisher}: ${subscription.schemas.map(({ typeName }) => typeName).join(" ")}`;
  const queueOf = (queue: DeclaredQueue) => `queue ${queue.name}: ${queue.schema.typeName}`;
  const declared = [...subscriptions.map(shapeOf), ...queues.map(queueOf)];
  const created = [...(service.subscriptions ?? []).map(shapeOf), ...(service.queues ?? []).map(queueOf)];
  const undeclared = created.find((one) => !declared.includes(one));
  if (undeclared !== undefined) throw new Error(`the definition of ${name} does not declare its ${undeclared}`);
  const missing = declared.find((one) => !created.includes(one));
  if (missing !== undefined) throw new Error(`${name} has not created its declared ${missing}`);
}

/** Resolves when all events are applied, all due tasks done and nothing is under way. One round may cause work in another service, so there are rounds until one changes nothing. */
export async function settleServices(hosted: readonly HostedService[], others: () => Promise<void> = async () => undefined): Promise<void> {
  let before = "";
  for (;;) {
    await Promise.all(hosted.map(async ({ service }) => service.idle?.()));
    await Promise.all(hosted.map(({ subscriptions }) => subscriptions.caughtUp()));
    await Promise.all(hosted.map(({ tasks }) => tasks.idle()));
    await others();
    const after = (await Promise.all(hosted.map((service) => service.progress()))).join();
    if (after === before) return;
    before = after;
  }
}
