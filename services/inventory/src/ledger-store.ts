import { sqlState } from "@kontor/platform/database/database.ts";
import type { PoolName, Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { writeSql } from "@kontor/platform/database/writes.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { StockLedger } from "./stock-ledger.ts";
import type { StoredReservation } from "./stock-ledger.ts";
import { saveLedger } from "./save-ledger.ts";
import type { LedgerNeeds } from "./save-ledger.ts";
import type { Level, ReservationStatus, Shortage, Units } from "./stock.ts";

const triesMax = 3;

export interface LedgerOptions {
  readonly orders: readonly string[];
  readonly skus?: Iterable<string>;
  readonly call: Call;
  readonly pool?: PoolName;
}

/**
 * Decides about these orders in a transaction of its own, and again when another transaction has written one of their reservations meanwhile. `work`
 * decides and nothing else, because it may run several times.
 */
export async function withLedger(
  needs: LedgerNeeds & Pick<ServiceContext, "database">,
  { orders, skus = [], call, pool = "requests" }: LedgerOptions,
  work: (ledger: StockLedger) => void,
): Promise<StockLedger> {
  const attempt = async (tx: Transaction): Promise<StockLedger> => {
    const ledger = await openLedger(tx, skus, orders);
    work(ledger);
    const { writes } = saveLedger(needs, tx, ledger, { call });
    if (writes !== undefined) tx.last(writeSql(writes));
    return ledger;
  };
  for (let tries = 1; ; tries++)
    try {
      return await needs.database.transaction(attempt, { pool });
    } catch (error) {
      if (!isOutdated(error) || tries === triesMax) throw error;
    }
}

/**
 * Opens the ledger of these SKUs, and those that the orders' reservations name. The stock rows are locked first, in the order of their SKUs;
 * only then, in a statement of its own, are the reservations read: a snapshot older than the wait for the locks would miss what its
 * predecessor wrote.
 */
export async function openLedger(tx: Transaction, skus: Iterable<string>, orders: readonly string[]): Promise<StockLedger> {
  const wanted = new Set(skus);
  const [levels, reservations] = await Promise.all([lockLevels(tx, [...wanted]), readReservations(tx, orders)]);
  const unlocked = reservations.flatMap(({ lines }) => lines).filter(({ sku }) => !wanted.has(sku));
  if (unlocked.length > 0) return openLedger(tx, [...wanted, ...unlocked.map(({ sku }) => sku)], orders);
  return new StockLedger(levels, reservations);
}

async function lockLevels(tx: Transaction, skus: readonly string[]): Promise<Level[]> {
  if (skus.length === 0) return [];
  return tx.rows<Level>(
    sql`select sku, on_hand as "onHand", reserved, version from stock where sku = any(${skus}::text[]) order by sku for no key update`,
  );
}

interface ReservationRow {
  readonly order_id: string;
  readonly status: ReservationStatus;
  readonly lines: readonly Units[];
  readonly refusal: readonly Shortage[] | null;
  readonly expires_at: Date;
}

export async function readReservations(queries: Queries, orders: readonly string[]): Promise<StoredReservation[]> {
  if (orders.length === 0) return [];
  const rows = await queries.rows<ReservationRow>(
    sql`select order_id, status, lines, refusal, expires_at from reservations where order_id = any(${orders}::text[])`,
  );
  return rows.map((row) => ({
    order: row.order_id,
    status: row.status,
    lines: row.lines,
    refusal: row.refusal,
    expiresAt: row.expires_at,
  }));
}

/** Whether a ledger could not be saved because another transaction wrote a reservation of the same orders since it was opened: see `saveLedger`. */
function isOutdated(error: unknown): boolean {
  const state = sqlState(error);
  return (
    state === "22012" || (state === "23505" && error instanceof Error && "constraint" in error && error.constraint === "reservations_pkey")
  );
}
