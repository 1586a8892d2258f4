import type { Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Stand } from "../position.ts";

/** The row among a service's subscriptions that says how far its own log has been relayed. */
export const relayName = "kontor.relay";

/** How far the log in this database has been relayed to a broker; undefined when it never was. */
export function readRelayed(queries: Queries): Promise<Stand | undefined> {
  return queries.maybe<Stand>(sql`
    select epoch, xid, position::text as position, mark from subscriptions where name = ${relayName}`);
}
