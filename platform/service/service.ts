import type { DescMessage, DescService } from "@bufbuild/protobuf";
import type { Cache } from "../cache/cache.ts";
import type { Clock } from "../clock/clock.ts";
import type { Config, Shape } from "../config/read-config.ts";
import type { Database } from "../database/database.ts";
import type { Documents } from "../documents/documents.ts";
import type { EventLog, Subscription } from "../events/events.ts";
import type { Ids } from "../ids/ids.ts";
import type { Mailer } from "../mail/mail.ts";
import type { DocumentRetention, Retention } from "../retention/retention.ts";
import type { Clients, Route } from "../rpc/rpc.ts";
import type { Search } from "../search/search.ts";
import type { Queue, Tasks } from "../tasks/tasks.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ServiceRebuild } from "./rebuild.ts";

/** What the host passes to a service: its own database and engines, its settings, and clients of the other services. */
export interface ServiceContext<Settings = unknown> {
  readonly database: Database;
  readonly clients: Clients;
  readonly events: EventLog;
  readonly tasks: Tasks;
  /** Documents with a version and an expiry, in the collections that the definition names. */
  readonly documents: Documents;
  readonly cache: Cache;
  readonly search: Search;
  readonly mail: Mailer;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** What all services know of the installation. */
  readonly config: InstallationConfig;
  /** The values of the definition's own variables, already read and validated. */
  readonly settings: Settings;
}

/** What all services of an installation know of it. */
export interface InstallationConfig {
  /** The shop's address as its customers see it: "http://localhost:4000". */
  readonly publicUrl: string;
  /** The name in mails and on pages. */
  readonly shopName: string;
  /** The name by which this machine's own servers are called: "localhost". */
  readonly host: string;
  /** A secret of this installation from which others are derived: 32 bytes or more. */
  readonly masterKey: Uint8Array;
}

/** A service as the host sees it. */
export interface Service {
  readonly routes: readonly Route[];
  readonly subscriptions?: readonly Subscription[];
  readonly queues?: readonly Queue[];
  /** Runs after migrations and before the first call. */
  readonly start?: () => Promise<void>;
  readonly stop?: () => Promise<void>;
  /** Resolves when the service has no work of its own under way, beyond subscriptions and tasks. */
  readonly idle?: () => Promise<void>;
}

/** A subscription without its code: whose events a service applies, and which. */
export interface DeclaredSubscription {
  /** "<service>.<what it is about>". */
  readonly name: string;
  /** The service that publishes the events. */
  readonly publisher: string;
  readonly schemas: readonly DescMessage[];
}

/** A task queue without its code. */
export interface DeclaredQueue {
  readonly name: string;
  /** Of the payload. */
  readonly schema: DescMessage;
}

/** What `load` returns: usually the module `create-service.ts`. */
export interface ServiceModule<Settings = unknown> {
  createService(context: ServiceContext<Settings>): Service;
}

/** A service's one export: all that others know of it, without its code, which only the process loads that runs it. */
export interface ServiceDefinition {
  /** Lower-case letters: it names the database, the topic and the variables `KONTOR_<NAME>_…`. */
  readonly name: string;
  /** What it is for, in one line. */
  readonly summary: string;
  /** What it offers to clients and to other services. */
  readonly contracts: readonly DescService[];
  /** The environment variables that only this service reads. */
  readonly settings?: Shape;
  /** The folder of its migrations, `0001-….sql` and on; absent when it has no tables of its own. */
  readonly migrations?: URL;
  readonly subscriptions?: readonly DeclaredSubscription[];
  readonly queues?: readonly DeclaredQueue[];
  /** The document collections that it stores, under names that no other service uses: `KONTOR_<NAME>_DOCUMENTS` chooses their engine. */
  readonly documents?: readonly DocumentRetention[];
  /** What becomes of the rows of each of its tables; an entry for a table of the platform holds in place of the platform's own. */
  readonly retention?: readonly Retention[];
  /** Loaded by `kontor rebuild` alone; absent when nothing can be compared with events. */
  readonly rebuild?: () => Promise<ServiceRebuild>;
  load(): Promise<ServiceModule>;
}

/** A definition whose name and settings are known to the type checker. */
export type DefinedService<Name extends string, Settings extends Shape> = ServiceDefinition & {
  readonly name: Name;
  readonly settings?: Settings;
};

/** Declares a service; its code must take the settings that the definition names. */
export function defineService<const Name extends string, const Settings extends Shape = Record<string, never>>(
  definition: DefinedService<Name, Settings> & { load(): Promise<ServiceModule<Config<Settings>>> },
): DefinedService<Name, Settings> {
  return definition;
}
