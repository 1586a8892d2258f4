import type { Cache } from "../cache/cache.ts";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Documents } from "../documents/documents.ts";
import type { EventLog, Subscription } from "../events/events.ts";
import type { Ids } from "../ids/ids.ts";
import type { Mailer } from "../mail/mail.ts";
import type { Clients, Route } from "../rpc/rpc.ts";
import type { Search } from "../search/search.ts";
import type { Queue, Tasks } from "../tasks/tasks.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ServiceRebuild } from "./rebuild.ts";

/** What the host gives a service: its own database and seams, and a way to call the others. */
export interface ServiceContext {
  readonly database: Database;
  readonly clients: Clients;
  readonly events: EventLog;
  readonly tasks: Tasks;
  /** Documents with a version and an expiry, kept under a name of this service's own. */
  readonly documents: Documents;
  readonly cache: Cache;
  readonly search: Search;
  readonly mail: Mailer;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** A variable of this service's own, already read and validated by the host. */
  readonly config: InstallationConfig;
}

/** Facts about the house that services need to know. */
export interface InstallationConfig {
  /** The shop's address as its customers see it: "http://localhost:4000". */
  readonly publicUrl: string;
  /** The name in mails and on pages. */
  readonly shopName: string;
  /** The sender of mails. */
  readonly mailFrom: string;
  /** Where the payment provider's api is, and the secrets shared with it. */
  readonly payments: { readonly providerUrl: string; readonly apiKey: string; readonly webhookSecret: string };
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

/** A service's one export. */
export interface ServiceDefinition {
  readonly name: string;
  /** The folder of its migrations, `0001-….sql` and on; absent when it has no tables of its own. */
  readonly migrations?: URL;
  /** Loaded by `kontor rebuild` alone; absent when nothing can be compared with events. */
  readonly rebuild?: () => Promise<ServiceRebuild>;
  readonly create: (context: ServiceContext) => Service;
}
