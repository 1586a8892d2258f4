import type { MigrationSet } from "@kontor/platform/database/migrate.ts";
import { mailboxMigrations } from "@kontor/platform/mail/mail-catcher.ts";
import { platformMigrations } from "@kontor/platform/service/host-service.ts";
import { databaseNames, definitions } from "./roles.ts";

const providerMigrations: MigrationSet = {
  scope: "provider",
  folder: new URL("../../services/payments/provider/migrations/", import.meta.url),
};

const all: ReadonlyMap<string, readonly MigrationSet[]> = new Map([
  ...definitions.map(({ name, migrations: folder }): [string, MigrationSet[]] => [
    name,
    [...platformMigrations, ...(folder === undefined ? [] : [{ scope: name, folder }])],
  ]),
  ["mailbox", [mailboxMigrations]],
  ["provider", [providerMigrations]],
]);

/** The migrations of the named databases, by name; of all by default. */
export function migrationsOf(names: readonly string[] = databaseNames): ReadonlyMap<string, readonly MigrationSet[]> {
  return new Map([...all].filter(([name]) => names.includes(name)));
}
