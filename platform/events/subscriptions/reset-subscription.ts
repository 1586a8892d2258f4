import type { Database, Transaction } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { beginning } from "../position.ts";
import type { Place } from "../position.ts";
import { leaseChannel } from "./subscription-store.ts";

/**
 * Rebuilds what a subscription has written: `empty` deletes it, and in the same transaction the subscription goes back to the beginning of its
 * publisher's log, or to the place `from` in it. Whoever runs it then applies all that follows again. Parked events are forgotten, they come again. Refuses an unknown name.
 */
export async function resetSubscription(
  database: Pick<Database, "transaction" | "notify">,
  name: string,
  empty: (tx: Transaction) => Promise<void>,
  from: Place = beginning,
): Promise<void> {
  await database.transaction(async (tx) => {
    // Before the subscription's row is locked: a batch under way holds locks on its tables and takes that row last.
    await empty(tx);
    const reset = await tx.run(sql`
      update subscriptions
      set epoch = ${from.epoch}::int, xid = ${from.xid}::xid8, position = ${from.position}::bigint, mark = '', applied = 0, skipped = 0, fence = fence + 1, lease_owner = null, lease_until = null
      where split_part(name, '#', 1) = ${name}`);
    if (reset === 0) throw new Error(`there is no subscription ${name}`);
    await tx.run(sql`delete from parked_events where split_part(subscription, '#', 1) = ${name}`);
  });
  await database.notify(leaseChannel);
}
