import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** Which of these keys of a queue have a task that is still to be done. */
export async function waitingTaskKeys(queries: Queries, queue: string, keys: readonly string[]): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const rows = await queries.rows<{ key: string }>(
    sql`select key from tasks where queue = ${queue} and key = any(${keys}::text[]) and state = 'waiting'`,
  );
  return new Set(rows.map(({ key }) => key));
}
