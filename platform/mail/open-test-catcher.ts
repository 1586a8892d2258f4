import { systemClock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import { afterTests } from "../testing/postgres.ts";
import { createMailCatcher, mailboxMigrations, type MailCatcher } from "./mail-catcher.ts";
import type { ListedMail } from "./mail-store.ts";
import { createSmtpMailer, type SmtpMailer, type SmtpOptions } from "./smtp-mailer.ts";

export const silent = createLogger({ service: "test", level: "silent" });

export interface TestCatcher {
  readonly catcher: MailCatcher;
  readonly database: PostgresDatabase;
  readonly smtpUrl: string;
  readonly url: string;
  /** The list, with the given parameters. */
  list(params?: Record<string, string>): Promise<{ messages: (Omit<ListedMail, "receivedAt"> & { receivedAt: string })[]; total?: number }>;
  message(id: string): Promise<Record<string, unknown>>;
  /** Another catcher over the same database. */
  again(change?: (database: PostgresDatabase) => Database): Promise<TestCatcher>;
}

/** A catcher on free ports with a database of its own, ended after the tests. `change` puts something around the database. */
export async function openTestCatcher(change: (database: PostgresDatabase) => Database = (same) => same): Promise<TestCatcher> {
  const { database } = await openTestDatabase({ name: "mailbox" });
  await migrate(database, [mailboxMigrations]);
  return catcherOver(database, change);
}

async function catcherOver(database: PostgresDatabase, change: (database: PostgresDatabase) => Database): Promise<TestCatcher> {
  const catcher = createMailCatcher({ database: change(database), smtpPort: 0, httpPort: 0, log: silent, clock: systemClock });
  afterTests(() => catcher.stop());
  const { smtpUrl, url } = await catcher.start();
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`${url}${path}`);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  return {
    catcher,
    database,
    smtpUrl,
    url,
    list: async (params = {}) =>
      (await get(`/api/v1/messages?${new URLSearchParams(params).toString()}`)) as Awaited<ReturnType<TestCatcher["list"]>>,
    message: async (id) => (await get(`/api/v1/messages/${encodeURIComponent(id)}`)) as Record<string, unknown>,
    again: (other = (same) => same) => catcherOver(database, other),
  };
}

/** A mailer that is stopped after the tests. */
export function openTestMailer(options: Omit<SmtpOptions, "log">): SmtpMailer {
  const mailer = createSmtpMailer({ log: silent, ...options });
  afterTests(() => mailer.stop());
  return mailer;
}
