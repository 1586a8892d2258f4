import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { writeSql } from "@kontor/platform/database/writes.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import type { EventLog } from "@kontor/platform/events/events.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Decision } from "./order.ts";
import { updateOrdersSql } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";

export interface DecidedOrder {
  readonly order: StoredOrder;
  readonly decision: Decision;
  readonly call: Call;
}

/** Stores what was decided of locked orders, and their events: one statement for however many. */
export async function record(tx: Transaction, events: EventLog, decided: readonly DecidedOrder[], at: Date): Promise<void> {
  const writes = recording(tx, events, decided, at);
  if (writes !== undefined) await tx.run(writeSql(writes));
}

/** The same as writes, for the end of the transaction: none when nothing was decided. An order that was not locked keeps all from being written. */
export function recording(tx: Transaction, events: EventLog, decided: readonly DecidedOrder[], at: Date): Writes | undefined {
  const [first] = decided;
  if (first === undefined) return undefined;
  const changes = decided.map(({ order, decision }) => ({ order, state: decision.state, events: decision.events.length }));
  const streams = decided.map(({ order, decision, call }) => ({
    stream: order.id,
    expectedVersion: order.version,
    events: decision.events,
    call,
  }));
  const happened = changes.reduce((sum, change) => sum + change.events, 0);
  tx.afterCommit(() => events.wake(streams));
  return {
    parts: [sql`stored as (${updateOrdersSql(changes, at)})`, sql`recorded as (${events.appendSql(first.call, streams)})`],
    complete: [sql`(select count(*) from stored) = ${changes.length}::int`, sql`(select count(*) from recorded) = ${happened}::int`],
  };
}

/** The order as it is after a decision that was recorded at `at`. */
export function after(order: StoredOrder, decision: Decision | undefined, at: Date): StoredOrder {
  if (decision === undefined) return order;
  return { ...order, state: decision.state, version: order.version + decision.events.length, updatedAt: at };
}
