import { sql } from "@kontor/platform/database/sql.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { cancel } from "./order.ts";
import { insertTombstone, lockOrder } from "./order-store.ts";
import { record } from "./record.ts";

type Needs = Pick<Surroundings, "database" | "events" | "clock">;

/** Undoes the making of an order: cancels it, or leaves a tombstone under its id so that it can never be made. */
export const voidOrder =
  ({ database, events, clock }: Needs) =>
  (id: string, call: Call): Promise<void> =>
    database.transaction(async (tx) => {
      const at = clock.now();
      if (await insertTombstone(tx, id, at)) return;
      const { status } = await tx.one<{ status: string }>(sql`select status from orders where id = ${id}`);
      if (status === "VOID") return;
      const order = await lockOrder(tx, id);
      const decision = cancel(order.state, "CHECKOUT", { actor: call.actor, at });
      if (decision !== undefined) await record(tx, events, [{ order, decision, call }], at);
    });
