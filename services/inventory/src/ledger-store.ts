import { sqlState } from "@kontor/platform/database/database.ts";
import type { PoolName, Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { writeSql } from "@kontor/platform/database/writes.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { Holdings } from "./holdings.ts";
import type { HolderIds, Holding } from "./holdings.ts";
import type { InventorySettings } from "./settings.ts";
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
  /** Whose shares are to be known, and how large they are. */
  readonly holders?: readonly HolderIds[];
  readonly limits?: InventorySettings;
}

/**
 * Decides about these orders in a transaction of its own, and again when another transaction has written one of their reservations meanwhile. `work`
 * decides and nothing else, because it may run several times.
 */
export async function withLedger(
  needs: LedgerNeeds & Pick<ServiceContext, "database">,
  { orders, skus = [], call, pool = "requests", ...held }: LedgerOptions,
  work: (ledger: StockLedger) => void,
): Promise<StockLedger> {
  const attempt = async (tx: Transaction): Promise<StockLedger> => {
    const ledger = await openLedger(tx, skus, orders, held);
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
export async function openLedger(
  tx: Transaction,
  skus: Iterable<string>,
  orders: readonly string[],
  { holders = [], limits }: Pick<LedgerOptions, "holders" | "limits"> = {},
): Promise<StockLedger> {
  const wanted = new Set(skus);
  const reading = limits === undefined ? readReservations(tx, orders) : readHoldings(tx, { orders, holders, limits });
  const [levels, { reservations, holdings }] = await Promise.all([
    lockLevels(tx, [...wanted]),
    reading.then((read) => ("reservations" in read ? read : { reservations: read, holdings: undefined })),
  ]);
  const unlocked = reservations.flatMap(({ lines }) => lines).filter(({ sku }) => !wanted.has(sku));
  if (unlocked.length > 0)
    return openLedger(tx, [...wanted, ...unlocked.map(({ sku }) => sku)], orders, { holders, ...(limits && { limits }) });
  return new StockLedger(levels, reservations, holdings);
}

async function lockLevels(tx: Transaction, skus: readonly string[]): Promise<Level[]> {
  if (skus.length === 0) return [];
  return tx.rows<Level>(
    sql`select sku, on_hand as "onHand", reserved, version, policy from stock where sku = any(${skus}::text[]) order by sku for no key update`,
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
  return rows.map(storedReservation);
}

interface HolderRow {
  readonly kind: "account" | "origin";
  readonly id: string;
  readonly orders: number;
  readonly units: number;
}

/**
 * Reservations with what each holder holds, in the one statement that reads the former anyway. Of a holder no more rows are read than its limit
 * of orders, which an index of the held ones has in order.
 */
async function readHoldings(
  tx: Transaction,
  { orders, holders, limits }: Required<Pick<LedgerOptions, "orders" | "holders" | "limits">>,
): Promise<{ readonly reservations: StoredReservation[]; readonly holdings: Holdings }> {
  const ids = (kind: "account" | "origin") => [...new Set(holders.flatMap(({ [kind]: id }) => id ?? []))];
  const { ordersOfAccountMax, unitsOfAccountMax, ordersOfAddressMax, unitsOfAddressMax } = limits;
  const accounts = ordersOfAccountMax + unitsOfAccountMax > 0 ? ids("account") : [];
  const origins = ordersOfAddressMax + unitsOfAddressMax > 0 ? ids("origin") : [];
  const rowsMax = (ordersMax: number) => (ordersMax === 0 ? null : ordersMax);
  const rows = await tx.rows<Partial<ReservationRow> & Partial<HolderRow>>(sql`
    select order_id, status, lines, refusal, expires_at, null as kind, null as id, 0 as orders, 0::float8 as units
      from reservations where order_id = any(${orders}::text[])
    union all
    select null, null, null, null, null, 'account', holder.id, held.orders, held.units
      from unnest(${accounts}::text[]) as holder (id), lateral (select count(*)::int as orders, coalesce(sum(units), 0)::float8 as units
        from (select units from reservations where account = holder.id and status = 'HELD' limit ${rowsMax(ordersOfAccountMax)}::bigint) of_account) held
    union all
    select null, null, null, null, null, 'origin', holder.id, held.orders, held.units
      from unnest(${origins}::text[]) as holder (id), lateral (select count(*)::int as orders, coalesce(sum(units), 0)::float8 as units
        from (select units from reservations where origin = holder.id and status = 'HELD' limit ${rowsMax(ordersOfAddressMax)}::bigint) of_origin) held`);
  const held = { account: new Map<string, Holding>(), origin: new Map<string, Holding>() };
  const reservations: StoredReservation[] = [];
  for (const row of rows)
    if (row.kind) held[row.kind].set(row.id!, { orders: row.orders!, units: row.units! });
    else reservations.push(storedReservation(row as ReservationRow)); // a row is one or the other
  return { reservations, holdings: new Holdings(limits, held) };
}

function storedReservation(row: ReservationRow): StoredReservation {
  return { order: row.order_id, status: row.status, lines: row.lines, refusal: row.refusal, expiresAt: row.expires_at };
}

/** Whether a ledger could not be saved because another transaction wrote a reservation of the same orders since it was opened: see `saveLedger`. */
function isOutdated(error: unknown): boolean {
  const state = sqlState(error);
  return (
    state === "22012" || (state === "23505" && error instanceof Error && "constraint" in error && error.constraint === "reservations_pkey")
  );
}
