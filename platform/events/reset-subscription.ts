import type { Database, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { leaseChannel } from "./subscription-store.ts";

/**
 * Rebuilds what a subscription has written: `empty` deletes it, and in the same transaction the subscription goes back to the beginning of its
 * publisher's log. Whoever runs it then applies the whole log again. Parked events are forgotten, they come again. Refuses an unknown name.
 */
export async function resetSubscription(database: Database, name: string, empty: (tx: Transaction) => Promise<void>): Promise<void> {
  await database.transaction(async (tx) => {
    // Before the subscription's row is locked: a batch under way holds locks on its tables and takes that row last.
    await empty(tx);
    const reset = await tx.run(sql`
      update subscriptions
      set epoch = 0, xid = '0', position = 0, applied = 0, skipped = 0, fence = fence + 1, lease_owner = null, lease_until = null
      where name = ${name}`);
    if (reset !== 1) throw new Error(`there is no subscription ${name}`);
    await tx.run(sql`delete from parked_events where subscription = ${name}`);
  });
  await database.notify(leaseChannel);
}
