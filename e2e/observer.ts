import { createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import { startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import type { ShopProcess } from "./shop-process.ts";

/** A shop's PostgreSQL as its superuser sees it. */
export interface Observer {
  /** How many connections the shop has open. */
  connections(): Promise<number>;
  /** How many of the shop's statements are under way in this service's database, waiting for locks included. */
  statements(service: string): Promise<number>;
  /** Locks all tables of a service, so that every statement on one waits until the returned function is called. */
  lock(service: string): Promise<() => Promise<void>>;
}

const self = "observer";

/** Looks into the PostgreSQL of a running shop until the end of the suite that asked. */
export async function openObserver({ folder }: Pick<ShopProcess, "folder">): Promise<Observer> {
  const log = createLogger({ service: self, level: "error", format: "pretty", stream: process.stderr });
  const postgres = await startEmbeddedPostgres({ folder, log });
  postgres.leave();
  const databases = new Map<string, PostgresDatabase>();
  afterTests(async () => void (await Promise.all([...databases.values()].map((database) => database.stop()))));
  const open = (database: string): PostgresDatabase => {
    const known = databases.get(database);
    if (known !== undefined) return known;
    const budget = createConnectionBudget({ connections: 4, background: 2 });
    const opened = openDatabase({ name: self, connection: { ...postgres.superuser, database }, budget, log });
    databases.set(database, opened);
    return opened;
  };
  const server = open("postgres");
  const counted = async (service: string, active: boolean): Promise<number> => {
    const { count } = await server.one<{ count: number }>(sql`
      select count(*)::int as count from pg_stat_activity
      where application_name like 'kontor %' and application_name <> ${`kontor ${self}`}
        and (not ${active}::boolean or (state <> 'idle' and datname = ${`kontor_${service}`}))`);
    return count;
  };
  return {
    connections: () => counted("", false),
    statements: (service) => counted(service, true),
    lock: async (service) => {
      const database = open(`kontor_${service}`);
      const locked = Promise.withResolvers<void>();
      const over = Promise.withResolvers<void>();
      const held = database.maintenance(async (tx) => {
        await tx.script(lockTables);
        locked.resolve();
        await over.promise;
      });
      held.catch(locked.reject);
      await locked.promise;
      return () => {
        over.resolve();
        return held;
      };
    },
  };
}

const lockTables = `do $$ declare name text; begin
  for name in select format('%I.%I', schemaname, tablename) from pg_tables where schemaname = 'public' order by 1 loop
    execute 'lock table ' || name || ' in access exclusive mode';
  end loop;
end $$`;
