import type { Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { tryDecode } from "@kontor/platform/contract/try-decode.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { joinLastEvent, lastEventsUpTo } from "@kontor/platform/events/log/log-facts.ts";
import type { StreamPosition } from "@kontor/platform/events/log/log-facts.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import type { Level, Policy, ReservationStatus, Units } from "./stock.ts";
import { stockOfEvent } from "./stock-messages.ts";

/** What an event says of its SKU's stock; `stock` is undefined when its bytes are no such event. */
export interface StockEvent {
  readonly sku: string;
  readonly version: number;
  readonly type: string;
  readonly stock: Stock | undefined;
}

/** A SKU's stock level and the last event of its stream, as of one moment; undefined where there is none. */
export interface StockFact {
  readonly sku: string;
  readonly level: (Level & { readonly floor: number }) | undefined;
  readonly lastEvent: StockEvent | undefined;
}

/** The same with the sums that the level must agree with, all of one moment. */
export interface SummedStock extends StockFact {
  /** The sum of its movements. */
  readonly moved: number;
  /** The sum of its held reservations. */
  readonly held: number;
}

export interface ReservationFact {
  /** The order's. */
  readonly id: string;
  readonly status: ReservationStatus;
  readonly lines: readonly Units[];
}

export interface InventoryFacts {
  stock(after: string, limit: number): Promise<StockFact[]>;
  /** Of SKUs without stock too. Reads all held reservations. */
  summedStock(skus: readonly string[]): Promise<SummedStock[]>;
  /** Those that have had an event. */
  skus(after: string, limit: number): Promise<{ readonly id: string }[]>;
  /** Those of these SKUs that have a stock level. */
  knownSkus(skus: readonly string[]): Promise<ReadonlySet<string>>;
  /** The last event of each SKU up to a position of its own in inventory's log; none where there is none. */
  stockEventsUpTo(skus: readonly StreamPosition[]): Promise<ReadonlyMap<string, StockEvent>>;
  /** Sums the next movements behind an id by SKU; `last` is the last id, undefined when there were fewer than `limit`. */
  movedUnits(after: string, limit: number): Promise<{ readonly sums: readonly Units[]; readonly last: string | undefined }>;
  /** How many units of each of these SKUs may have been sold: those that were ever received, and what was promised beyond them; any number where the policy says so. */
  sellableUnits(skus: readonly string[]): Promise<ReadonlyMap<string, number>>;
  reservations(status: ReservationStatus, after: string, limit: number): Promise<ReservationFact[]>;
  reservationsByOrders(orders: readonly string[]): Promise<ReservationFact[]>;
  /** Held ones that expired before a time, oldest first. */
  heldSince(expiredBefore: Date, limit: number): Promise<{ readonly order: string; readonly expiresAt: Date }[]>;
}

export const inventoryFacts: ServiceFacts<InventoryFacts> = {
  service: "inventory",
  from: (inventory) => ({
    async stock(after, limit) {
      const rows = await inventory.rows<StockRow>(sql`
        select ${stockColumns} from (select sku from stock where sku > ${after} order by sku limit ${limit}) w
        join stock s on s.sku = w.sku ${joinLastEvent(sql`w.sku`)} order by w.sku`);
      return rows.map(stockFact);
    },
    summedStock: (skus) => summedStock(inventory, skus),
    skus: (after, limit) =>
      inventory.rows(sql`select sku as id from stock where version > 0 and sku > ${after} order by sku limit ${limit}`),
    async knownSkus(skus) {
      const rows = await inventory.rows<{ sku: string }>(sql`select sku from stock where sku = any(${skus}::text[])`);
      return new Set(rows.map(({ sku }) => sku));
    },
    async stockEventsUpTo(skus) {
      const events = await lastEventsUpTo(inventory, skus);
      return new Map(events.map(({ stream, version, type, data }) => [stream, stockEvent(stream, version, type, data)]));
    },
    movedUnits: (after, limit) => movedUnits(inventory, after, limit),
    async sellableUnits(skus) {
      const rows = await inventory.rows<{ sku: string; sellable: number }>(sql`
        select s.sku, case s.policy when 'COUNTED' then (coalesce(m.received, 0) - s.floor)::float8 else 'Infinity'::float8 end as sellable
        from stock s left join (
          select sku, sum(quantity) as received from movements where kind = 'RECEIVED' and sku = any(${skus}::text[]) group by sku
        ) m on m.sku = s.sku
        where s.sku = any(${skus}::text[])`);
      return new Map(rows.map(({ sku, sellable }) => [sku, sellable]));
    },
    reservations: (status, after, limit) =>
      inventory.rows(sql`select ${reservationColumns} from reservations
        where status = ${status} and order_id > ${after} order by order_id limit ${limit}`),
    reservationsByOrders: (orders) =>
      inventory.rows(sql`select ${reservationColumns} from reservations where order_id = any(${orders}::text[])`),
    heldSince: (expiredBefore, limit) =>
      inventory.rows(sql`
        select order_id as "order", expires_at as "expiresAt" from reservations
        where status = 'HELD' and expires_at < ${expiredBefore} order by expires_at limit ${limit}`),
  }),
};

const reservationColumns = sql`order_id as id, status, lines`;
const stockColumns = sql`w.sku, s.on_hand as "onHand", s.reserved, s.version, s.policy, s.floor, e.version as "eventVersion", e.type, e.data`;

interface StockRow {
  readonly sku: string;
  readonly onHand: number | null;
  readonly reserved: number | null;
  readonly version: number | null;
  readonly policy: Policy | null;
  readonly floor: number | null;
  readonly eventVersion: number | null;
  readonly type: string | null;
  readonly data: Uint8Array | null;
}

function stockFact({ sku, onHand, reserved, version, policy, floor, eventVersion, type, data }: StockRow): StockFact {
  const stored = onHand !== null && reserved !== null && version !== null && policy !== null && floor !== null;
  return {
    sku,
    level: stored ? { sku, onHand, reserved, version, policy, floor } : undefined,
    lastEvent: eventVersion === null || type === null || data === null ? undefined : stockEvent(sku, eventVersion, type, data),
  };
}

function stockEvent(sku: string, version: number, type: string, data: Uint8Array): StockEvent {
  return { sku, version, type, stock: tryDecode(() => stockOfEvent(type, data)) };
}

/** All in one statement, which is one moment. */
async function summedStock(inventory: Queries, skus: readonly string[]): Promise<SummedStock[]> {
  const rows = await inventory.rows<StockRow & { moved: number; held: number }>(sql`
    select ${stockColumns}, coalesce(m.moved, 0)::float8 as moved, coalesce(h.held, 0)::float8 as held
    from unnest(${skus}::text[]) as w (sku) left join stock s on s.sku = w.sku ${joinLastEvent(sql`w.sku`)}
    left join (select sku, sum(quantity) as moved from movements where sku = any(${skus}::text[]) group by sku) m on m.sku = w.sku
    left join (
      select l.sku, sum(l.quantity) as held from reservations r cross join lateral jsonb_to_recordset(r.lines) as l (sku text, quantity int)
      where r.status = 'HELD' and l.sku = any(${skus}::text[]) group by l.sku
    ) h on h.sku = w.sku`);
  return rows.map(({ moved, held, ...row }) => ({ ...stockFact(row), moved, held }));
}

async function movedUnits(inventory: Queries, after: string, limit: number): ReturnType<InventoryFacts["movedUnits"]> {
  const rows = await inventory.rows<Units & { count: number; last: string }>(sql`
    with page as (select id, sku, quantity from movements where id > ${after} order by id limit ${limit})
    select sku, sum(quantity)::float8 as quantity, count(*)::int as count, (select id from page order by id desc limit 1) as last
    from page group by sku`);
  const found = rows.reduce((sum, { count }) => sum + count, 0);
  return { sums: rows.map(({ sku, quantity }) => ({ sku, quantity })), last: found < limit ? undefined : rows[0]?.last };
}
