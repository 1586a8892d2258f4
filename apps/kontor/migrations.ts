import type { MigrationSet } from "@kontor/platform/database/migrate.ts";
import { mailboxMigrations } from "@kontor/platform/mail/mail-catcher.ts";
import { platformMigrations } from "@kontor/platform/service/host-service.ts";
import { databaseNames, serviceNames } from "./roles.ts";
import { loadServices } from "./services.ts";

const providerMigrations: MigrationSet = {
  scope: "provider",
  folder: new URL("../../services/payments/provider/migrations/", import.meta.url),
};

/** What the named databases need, by name; all of the house by default. */
export async function migrationsOf(names: readonly string[] = databaseNames): Promise<ReadonlyMap<string, readonly MigrationSet[]>> {
  const definitions = await loadServices(serviceNames.filter((name) => names.includes(name)));
  const sets = new Map<string, readonly MigrationSet[]>(
    definitions.map(({ name, migrations: folder }) => [
      name,
      [...platformMigrations, ...(folder === undefined ? [] : [{ scope: name, folder }])],
    ]),
  );
  if (names.includes("mailbox")) sets.set("mailbox", [mailboxMigrations]);
  if (names.includes("provider")) sets.set("provider", [providerMigrations]);
  return sets;
}
