import { sql } from "@kontor/platform/database/sql.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { withLedger } from "./ledger-store.ts";
import type { LedgerNeeds } from "./save-ledger.ts";

type Needs = LedgerNeeds & Pick<ServiceContext, "database">;

const expiredAtOnce = 500;

/** Frees what is held for an order, and leaves a tombstone where nothing is, so that a late Reserve is refused. */
export const release =
  (needs: Needs) =>
  async (order: string, call: Call): Promise<void> => {
    await withLedger(needs, { orders: [order], call }, (ledger) => ledger.release(order));
  };

/** Frees the reservations whose time has passed. */
export const releaseExpired =
  (needs: Needs) =>
  async (call: Call): Promise<void> => {
    for (;;) {
      const expired = await needs.database.rows<{ order: string }>(
        sql`select order_id as "order" from reservations where status = 'HELD' and expires_at <= ${needs.clock.now()} order by expires_at limit ${expiredAtOnce}`,
      );
      const orders = expired.map(({ order }) => order);
      // Some may have been claimed meanwhile: the ledger knows.
      if (orders.length > 0)
        await withLedger(needs, { orders, call, pool: "background" }, (ledger) => orders.forEach((order) => ledger.release(order)));
      if (orders.length < expiredAtOnce) return;
      call.check();
    }
  };
