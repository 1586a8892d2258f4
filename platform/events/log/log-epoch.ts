import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Position } from "../position.ts";

// The timeline changes when a standby is promoted or a backup is recovered: transactions that readers have seen may be lost then.
const server = sql`(select system_identifier::text from pg_control_system()) || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)`;
const nextXid = sql`pg_snapshot_xmax(pg_current_snapshot())`;

interface Found {
  readonly epoch: number;
  readonly fresh: boolean;
  readonly moved: boolean;
}

/**
 * Raises the epoch when the database has moved to another server, or its transaction ids went back, since the log was last opened: old and
 * new ids cannot be compared then. `ahead` is a reader's position beyond the end of this log: the log must have lost events.
 */
export async function checkEpoch(database: Database, ahead?: Position): Promise<void> {
  if (ahead === undefined) {
    const found = await look(database);
    if (!found.moved && !found.fresh) {
      await database.run(sql`update log_epoch set xid = ${nextXid}`);
      return;
    }
  }
  await database.transaction(
    async (tx) => {
      // Waits for open transactions that write events and blocks new ones: an event of the old epoch must not commit after the rise.
      await tx.run(sql`lock table events in share row exclusive mode`);
      const found = await look(tx);
      const lost = ahead !== undefined && (await isAhead(tx, ahead));
      const rise = found.moved || lost ? Math.max(found.epoch, lost ? ahead.epoch : 0) + 1 : found.epoch;
      await tx.run(sql`update log_epoch set epoch = ${rise}, server = ${server}, xid = ${nextXid}`);
    },
    { pool: "background" },
  );
}

function look(queries: Queries): Promise<Found> {
  return queries.one<Found>(sql`
    select l.epoch, l.server = '' as fresh,
      l.server <> '' and l.server <> ${server}
        or ${nextXid} <= coalesce((select e.xid from events e where e.epoch = l.epoch order by e.epoch desc, e.xid desc limit 1), '0')
        or ${nextXid} < l.xid as moved
    from log_epoch l`);
}

async function isAhead(queries: Queries, { epoch, xid }: Position): Promise<boolean> {
  const { ahead } = await queries.one<{ ahead: boolean }>(
    sql`select (${epoch}::int, ${xid}::xid8) >= (epoch, ${nextXid}) as ahead from log_epoch`,
  );
  return ahead;
}
