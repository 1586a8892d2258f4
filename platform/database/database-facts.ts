import type { Queries } from "./database.ts";
import { sql } from "./sql.ts";

/** The time of the database's server. */
export async function databaseTime(queries: Queries): Promise<Date> {
  const { now } = await queries.one<{ now: Date }>(sql`select now() as now`);
  return now;
}

/** Looks at the next idempotency keys behind one, at most `limit`: how many have neither a response nor a refusal, and the last key. */
export function keysWithoutResponse(
  queries: Queries,
  after: string,
  limit: number,
): Promise<{ readonly found: number; readonly last: string | null; readonly empty: number }> {
  return queries.one(sql`
    with page as (
      select key, response is null and refusal is null as empty from idempotency_keys where key > ${after} order by key limit ${limit}
    )
    select count(*)::int as found, (select key from page order by key desc limit 1) as last, count(*) filter (where empty)::int as empty from page`);
}
