import { sql } from "@kontor/platform/database/sql.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { openBookOf, saveBook } from "./book-store.ts";

type Needs = Pick<Surroundings, "database" | "events" | "ids" | "clock">;

/** Frees what is held for an order, and leaves a tombstone where nothing is, so that a late Reserve is refused. */
export const release =
  (needs: Needs) =>
  (order: string, call: Call): Promise<void> =>
    needs.database.transaction(async (tx) => {
      const at = needs.clock.now();
      // A Reserve under way has inserted its row already or waits for ours.
      await tx.run(sql`insert into reservations (order_id, status, lines, expires_at, updated_at) values (${order}, 'FREED', '[]', ${at}, ${at})
        on conflict (order_id) do nothing`);
      await freeAll(needs, tx, [order], call);
    });

/** Frees the reservations whose time has passed; gives how many there were. */
export const releaseExpired =
  (needs: Needs) =>
  (call: Call, limit = 500): Promise<number> =>
    needs.database.transaction(async (tx) => {
      const expired = await tx.rows<{ order_id: string }>(
        sql`select order_id from reservations where status = 'HELD' and expires_at <= ${needs.clock.now()} order by expires_at limit ${limit}`,
      );
      if (expired.length > 0)
        await freeAll(
          needs,
          tx,
          expired.map(({ order_id }) => order_id),
          call,
        );
      return expired.length;
    });

async function freeAll(needs: Needs, tx: Transaction, orders: readonly string[], call: Call): Promise<void> {
  const book = await openBookOf(tx, orders, []);
  for (const order of orders) book.free(order);
  await saveBook(needs, tx, book, { call, at: needs.clock.now() });
}
