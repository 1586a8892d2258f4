import type { Database, Transaction } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { beginning } from "../position.ts";
import type { Position } from "../position.ts";
import { leaseChannel } from "./lease-store.ts";

/**
 * Rebuilds what a subscription has written: `empty` deletes it, and in the same transaction the subscription goes back to the beginning of its
 * publisher's log, or to the position `from`. The processes that run it then apply all later events again, those parked before included. Throws
 * for an unknown name.
 */
export async function resetSubscription(
  database: Pick<Database, "transaction" | "notify">,
  name: string,
  empty: (tx: Transaction) => Promise<void>,
  from: Position = beginning,
): Promise<void> {
  await database.transaction(async (tx) => {
    // Must come before the subscription's row is locked: a batch under way holds locks on its tables and locks that row last.
    await empty(tx);
    const reset = await tx.run(sql`
      update subscriptions
      set epoch = ${from.epoch}::int, xid = ${from.xid}::xid8, position = ${from.position}::bigint, offsets = '', applied = 0, skipped = 0,
        fence = fence + 1, lease_owner = null, lease_until = null
      where split_part(name, '#', 1) = ${name}`);
    if (reset === 0) throw new Error(`there is no subscription ${name}`);
    await tx.run(sql`delete from parked_events where split_part(subscription, '#', 1) = ${name}`);
  });
  await database.notify(leaseChannel);
}
