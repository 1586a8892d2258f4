import { createConnectionBudget } from "@kontor/platform/database/connection-budget.ts";
import { sqlState } from "@kontor/platform/database/database.ts";
import { startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import type { EmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { pendingMigrations } from "@kontor/platform/database/migrate.ts";
import { openDatabase } from "@kontor/platform/database/postgres.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { listParked } from "@kontor/platform/events/subscriptions/parked.ts";
import { countTasks } from "@kontor/platform/tasks/admin.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "../../configuration.ts";
import { migrationsOf } from "../../migrations.ts";
import { serviceNames } from "../../roles.ts";
import { shopRuns } from "../app/shop-runs.ts";
import type { Check } from "./check.ts";

const parkedMax = 1_000;

/** Checks the databases, and whether a shop runs on them. Starts PostgreSQL when it does not run, and stops it again. */
export async function checkDatabases(
  config: Configuration,
  log: Logger,
): Promise<{ readonly checks: readonly Check[]; readonly running: boolean }> {
  let postgres: EmbeddedPostgres;
  try {
    postgres = await startEmbeddedPostgres({ folder: config.data, log });
  } catch (error) {
    return {
      checks: [{ verdict: "wrong", about: "databases", text: error instanceof Error ? error.message : String(error) }],
      running: false,
    };
  }
  const names = [...migrationsOf().keys()];
  // As the superuser, because the services' own passwords need the right master key, and the databases may not exist yet.
  const budget = createConnectionBudget({ connections: names.length * 2, background: names.length });
  const databases = new Map(
    names.map(
      (name) => [name, openDatabase({ name, connection: { ...postgres.superuser, database: `kontor_${name}` }, budget, log })] as const,
    ),
  );
  try {
    const running = postgres.adopted && (await shopRuns(postgres.superuser));
    const state = running
      ? "with a running shop"
      : postgres.adopted
        ? "started by a shop that was killed; kontor start takes it over"
        : "no shop is running";
    const reachable: Check = { verdict: "ok", about: "databases", text: `PostgreSQL responds on port ${postgres.port}, ${state}` };
    return { checks: [reachable, await checkMigrations(databases), ...(await checkQueues(databases))], running };
  } finally {
    await Promise.all([...databases.values()].map((database) => database.stop()));
    if (!postgres.adopted) await postgres.stop();
  }
}

async function checkMigrations(databases: ReadonlyMap<string, PostgresDatabase>): Promise<Check> {
  const about = "migrations";
  const pending: string[] = [];
  for (const [name, sets] of migrationsOf()) {
    try {
      pending.push(...(await pendingMigrations(databases.get(name)!, sets)).map((file) => `${name}: ${file}`));
    } catch (error) {
      if (!isMissing(error)) return { verdict: "wrong", about, text: error instanceof Error ? error.message : String(error) };
      pending.push(`${name}: the database itself`);
    }
  }
  if (pending.length === 0) return { verdict: "ok", about, text: "all applied" };
  const text = `${pending.length} are not applied yet: ${pending.slice(0, 3).join(", ")}${pending.length > 3 ? ", …" : ""}`;
  return { verdict: "warn", about, text, advice: "kontor start applies them." };
}

async function checkQueues(databases: ReadonlyMap<string, PostgresDatabase>): Promise<Check[]> {
  const parked: string[] = [];
  const dead: string[] = [];
  for (const name of serviceNames) {
    const database = databases.get(name)!;
    try {
      const events = (await listParked(database, {}, parkedMax)).length;
      if (events > 0) parked.push(`${events === parkedMax ? `${parkedMax} or more` : events} in ${name}`);
      for (const queue of await countTasks(database, new Date()))
        if (queue.dead > 0) dead.push(`${queue.dead} of ${queue.queue} in ${name}`);
    } catch (error) {
      // A database that does not exist yet has none.
      if (!isMissing(error)) throw error;
    }
  }
  return [
    parked.length === 0
      ? { verdict: "ok", about: "parked events", text: "none" }
      : { verdict: "warn", about: "parked events", text: parked.join(", "), advice: "kontor parked list says why; replay or skip them." },
    dead.length === 0
      ? { verdict: "ok", about: "dead tasks", text: "none" }
      : { verdict: "warn", about: "dead tasks", text: dead.join(", "), advice: "kontor tasks list says why; replay or skip them." },
  ];
}

/** Whether the database, or a table of it, does not exist yet. */
function isMissing(error: unknown): boolean {
  return ["3D000", "42P01"].includes(sqlState(error) ?? "");
}
