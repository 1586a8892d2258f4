import { outcomeUnknown, refusalIn } from "../errors/refusal.ts";
import type { Database } from "./database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

/** Whether an error is the refusal of a database that does not respond, with an unknown outcome. */
export const unavailable = (error: unknown) =>
  refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE" && refusalIn(error)?.code === "unavailable" && outcomeUnknown(error);

/** The server process of a connection. */
export const backend = async (queries: Pick<Database, "one">) =>
  (await queries.one<{ pid: number }>(sql`select pg_backend_pid() as pid`)).pid;

/** A second connection to the database of a test, to observe and to interfere. */
export async function observed() {
  const open = await openTestDatabase();
  const { database: observer } = await openTestDatabase({ name: "observer", connection: open.connection });
  const terminate = (pid: number) => observer.one(sql`select pg_terminate_backend(${pid}, 5000) as done`);
  /** Resolves when that many sessions wait for a lock. */
  const waiting = async (count: number) => {
    const seen = () =>
      observer.one<{ count: number }>(sql`
      select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`);
    while ((await seen()).count < count);
  };
  return { ...open, observer, terminate, waiting };
}
