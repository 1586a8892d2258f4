import { mailboxRetention } from "@kontor/platform/mail/mailbox-retention.ts";
import { providerRetention } from "@kontor/payments/provider/src/retention.ts";
import { serviceRetention } from "@kontor/platform/retention/platform-retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";
import { definitions } from "./roles.ts";
import type { DatabaseName } from "./roles.ts";

/** What becomes of the rows of every table, by database. */
export const retentions: ReadonlyMap<DatabaseName, readonly Retention[]> = new Map<DatabaseName, readonly Retention[]>([
  ...definitions.map(({ name, retention }) => [name, serviceRetention(retention)] as const),
  ["mailbox", mailboxRetention],
  ["provider", providerRetention],
]);
