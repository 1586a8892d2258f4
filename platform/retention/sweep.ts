import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import { earliestId } from "../ids/ids.ts";
import { isSwept } from "./retention.ts";
import type { Retention, SweptRows } from "./retention.ts";

/** Small, so that a statement is short and its locks are few. */
export const sweptAtOnce = 500;
/** What one round deletes of a table at most; the next round follows at once. */
const batchesMax = 20;
const statementMsMax = 5_000;

/**
 * Deletes rows whose time is over, in small batches, each a transaction of its own on a connection for background work; rows that somebody has locked
 * are left to the next sweep. Gives true when there may be more: what is swept in one call is bounded too. One that fails does not keep the others:
 * they are swept, and `failed` gets the error. Throws it without one.
 */
export async function sweep(
  database: Database,
  retentions: readonly Retention[],
  now: Date,
  failed: (error: Error) => void = rethrow,
): Promise<boolean> {
  let more = false;
  for (const retention of retentions.filter(isSwept))
    try {
      if (await sweepRows(database, retention, now)) more = true;
    } catch (error) {
      failed(new Error(`${retention.rows} could not be swept, and will be in an hour`, { cause: error }));
    }
  return more;
}

function rethrow(error: Error): never {
  throw error;
}

async function sweepRows(database: Database, retention: SweptRows, now: Date): Promise<boolean> {
  const options = { pool: "background", timeoutMs: statementMsMax } as const;
  for (let batch = 0; batch < batchesMax; batch++)
    if ((await database.transaction((tx) => tx.run(sweepSql(retention, now)), options)) < sweptAtOnce) return false;
  return true;
}

/** The statement that deletes the oldest rows whose time is over, a batch of them. By `ctid`, because with a join a plan may scan the whole table. */
export function sweepSql({ table, by, keptMs, where = sql`true` }: SweptRows, now: Date): Sql {
  const until = new Date(now.getTime() - keptMs);
  const [name, column] = [sql.name(table), sql.name(by.column)];
  const bound = "idPrefix" in by ? earliestId(by.idPrefix, until) : until;
  return sql`delete from ${name} where ctid = any (array(
    select ctid from ${name} where ${column} < ${bound} and ${where} order by ${column} limit ${sweptAtOnce} for update skip locked))`;
}
