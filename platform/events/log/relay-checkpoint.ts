import type { Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Checkpoint } from "../checkpoint.ts";

/** The row among a publisher's own subscriptions that stores how far its log has been relayed. */
export const relayName = "kontor.relay";

/** How far the log in this database has been relayed to a broker; undefined when there was never a relay. */
export function readRelayCheckpoint(queries: Queries): Promise<Checkpoint | undefined> {
  return queries.maybe<Checkpoint>(sql`
    select epoch, xid, position::text as position, offsets from subscriptions where name = ${relayName}`);
}
