import { sql } from "@kontor/platform/database/sql.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { cancelOrder } from "./cancel-order.ts";
import type { CancelNeeds } from "./cancel-order.ts";
import { insertTombstone } from "./order-store.ts";

/**
 * Compensates the making of an order: leaves a tombstone under its id so that it can never be made, or cancels it, because its customer
 * may have seen it and paid.
 */
export const voidOrder = (needs: CancelNeeds) => {
  const cancelled = cancelOrder(needs);
  return async (id: string, call: Call): Promise<void> => {
    const { database, clock } = needs;
    const isVoid = await database.transaction(async (tx) => {
      if (await insertTombstone(tx, id, clock.now())) return true;
      const { status } = await tx.one<{ status: string }>(sql`select status from orders where id = ${id}`);
      return status === "VOID";
    });
    if (!isVoid) await cancelled(id, "CHECKOUT", call);
  };
};
