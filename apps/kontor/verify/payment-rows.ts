import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { groupBy } from "./pages.ts";

/** The provider whose books lie beside ours. */
const builtin = "builtin";

export interface AttemptEntry {
  readonly id: string;
  readonly status: "WAITING" | "DECLINED" | "SUCCEEDED" | "ABANDONED" | "RETURNED";
  readonly provider: string;
}

export interface RefundEntry {
  readonly id: string;
  readonly status: "REFUND_PENDING" | "REFUND_DONE" | "REFUND_FAILED";
  /** Minor units as text. */
  readonly amount: string;
}

export interface PaymentRow {
  readonly id: string;
  readonly order: string;
  readonly status: "OPEN" | "CAPTURED" | "CLOSED" | "REFUNDED" | "VOID";
  readonly currency: string;
  readonly amount: bigint;
  readonly captured: bigint;
  readonly refunded: bigint;
  readonly attempts: readonly AttemptEntry[];
  readonly refunds: readonly RefundEntry[];
}

const columns = sql`id, order_id as "order", status, currency, amount, captured, refunded, attempts, refunds`;

/** Payments behind an id, in the order of ids, without tombstones. */
export function paymentRows(payments: Queries, after: string, limit: number): Promise<PaymentRow[]> {
  return payments.rows(sql`select ${columns} from payments where status <> 'VOID' and id > ${after} order by id limit ${limit}`);
}

export function paymentsWithIds(payments: Queries, ids: readonly string[]): Promise<PaymentRow[]> {
  return payments.rows(sql`select ${columns} from payments where id = any(${[...new Set(ids)]}::text[])`);
}

/** Whether the money of a payment came, or went, through the provider whose books can be read. */
export function throughBuiltin({ provider }: AttemptEntry): boolean {
  return provider === builtin;
}

export interface ChargeRow {
  readonly id: string;
  readonly session: string;
  readonly reference: string;
  readonly currency: string;
  readonly amount: bigint;
}

export interface ProviderRefundRow extends ChargeRow {
  readonly key: string;
  readonly status: "succeeded" | "failed";
}

const chargeColumns = sql`id, session_key as session, reference, currency, amount`;

/** The provider's entries about these payments' attempts, by session. */
export async function entriesOf(
  provider: Queries,
  payments: readonly PaymentRow[],
): Promise<{
  readonly charges: ReadonlyMap<string, readonly ChargeRow[]>;
  readonly refunds: ReadonlyMap<string, readonly ProviderRefundRow[]>;
}> {
  const sessions = payments.flatMap(({ attempts }) => attempts.filter(throughBuiltin).map(({ id }) => id));
  // Charges first: a refund that comes in between has its charge.
  const charges = await provider.rows<ChargeRow>(sql`select ${chargeColumns} from charges where session_key = any(${sessions}::text[])`);
  const refunds = await provider.rows<ProviderRefundRow>(
    sql`select ${chargeColumns}, key, status from refunds where session_key = any(${sessions}::text[])`,
  );
  return { charges: groupBy(charges, ({ session }) => session), refunds: groupBy(refunds, ({ session }) => session) };
}

/** The provider's charges behind an id, in the order of ids. */
export function chargeRows(provider: Queries, after: string, limit: number): Promise<ChargeRow[]> {
  return provider.rows(sql`select ${chargeColumns} from charges where id > ${after} order by id limit ${limit}`);
}

export function providerRefundRows(provider: Queries, after: string, limit: number): Promise<ProviderRefundRow[]> {
  return provider.rows(sql`select ${chargeColumns}, key, status from refunds where id > ${after} order by id limit ${limit}`);
}

/** The keys among these for which payments has a task that is still to be done: what it will find out is not missing yet. */
export async function keysToBeDone(
  payments: Queries,
  queue: "check-attempt" | "give-attempt-back" | "refund",
  keys: readonly string[],
): Promise<ReadonlySet<string>> {
  if (keys.length === 0) return new Set();
  const rows = await payments.rows<{ key: string }>(
    sql`select key from tasks where queue = ${queue} and key = any(${keys}::text[]) and state = 'waiting'`,
  );
  return new Set(rows.map(({ key }) => key));
}
