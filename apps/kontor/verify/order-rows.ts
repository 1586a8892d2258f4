import { fromBinary } from "@bufbuild/protobuf";
import { OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { readable } from "./read-event.ts";

export type OrderStatusName = "PENDING" | "PAID" | "COMPLETED" | "CANCELLED" | "VOID";

/** An order's row, without the state: most of the bytes, and of interest to few. */
export interface OrderRow {
  readonly id: string;
  readonly version: number;
  readonly status: OrderStatusName;
  readonly customer: string;
  readonly currency: string;
  readonly total: bigint;
  readonly payment: string;
}

const columns = sql`id, version, status, customer, currency, total, payment`;

/** Orders of these statuses behind an id, in the order of ids. */
export function orderRows(orders: Queries, statuses: readonly OrderStatusName[], after: string, limit: number): Promise<OrderRow[]> {
  return orders.rows(
    sql`select ${columns} from orders where status = any(${statuses}::text[]) and id > ${after} order by id limit ${limit}`,
  );
}

export function ordersWithIds(orders: Queries, ids: readonly string[]): Promise<OrderRow[]> {
  return orders.rows(sql`select ${columns} from orders where id = any(${[...new Set(ids)]}::text[])`);
}

/** Those of the orders that are being cancelled. */
export async function cancellingAmong(orders: Queries, ids: readonly string[]): Promise<ReadonlySet<string>> {
  if (ids.length === 0) return new Set();
  const rows = await orders.rows<{ id: string; state: Uint8Array }>(sql`select id, state from orders where id = any(${ids}::text[])`);
  return new Set(rows.filter((row) => stateOf(row)?.cancelling).map(({ id }) => id));
}

/** An order's stored state; undefined when its bytes are none: I6 reports that. */
export function stateOf({ state }: { readonly state: Uint8Array }): OrderState | undefined {
  return readable(() => fromBinary(OrderStateSchema, state));
}

export function isPaid({ status }: Pick<OrderRow, "status">): boolean {
  return status === "PAID" || status === "COMPLETED";
}
