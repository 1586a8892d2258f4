import type { Transaction } from "@kontor/platform/database/database.ts";
import type { EventLog } from "@kontor/platform/events/events.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Decision } from "./order.ts";
import { updateOrders } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";

export interface DecidedOrder {
  readonly order: StoredOrder;
  readonly decision: Decision;
  readonly call: Call;
}

/** Stores what was decided of locked orders, and their events: two statements for however many. */
export async function record(tx: Transaction, events: EventLog, decided: readonly DecidedOrder[], at: Date): Promise<void> {
  const [first] = decided;
  if (first === undefined) return;
  await updateOrders(
    tx,
    decided.map(({ order, decision }) => ({ order, state: decision.state, events: decision.events.length })),
    at,
  );
  await events.append(
    tx,
    first.call,
    decided.map(({ order, decision, call }) => ({ stream: order.id, expectedVersion: order.version, events: decision.events, call })),
  );
}

/** The order as it is after a decision that was recorded at `at`. */
export function after(order: StoredOrder, decision: Decision | undefined, at: Date): StoredOrder {
  if (decision === undefined) return order;
  return { ...order, state: decision.state, version: order.version + decision.events.length, updatedAt: at };
}
