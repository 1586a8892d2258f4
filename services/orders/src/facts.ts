import { fromBinary } from "@bufbuild/protobuf";
import { OrderPaidSchema, OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import { tryDecode } from "@kontor/platform/contract/try-decode.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { eventsOfType, hasEvent, joinHistory, joinLastEvent } from "@kontor/platform/events/log/log-facts.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { firstField } from "./first-field.ts";

/** VOID: the tombstone of an order that was voided before it was placed. */
export type OrderFactStatus = "PENDING" | "PAID" | "COMPLETED" | "CANCELLED" | "VOID";

/** An order without its stored state, which is most of the bytes and read only where it is compared. */
export interface OrderFact {
  readonly id: string;
  readonly version: number;
  readonly status: OrderFactStatus;
  readonly customer: string;
  readonly currency: string;
  readonly totalMinor: bigint;
  readonly payment: string;
}

/** An order with its stored state; undefined when its bytes are none. */
export interface OrderWithState {
  readonly id: string;
  readonly status: OrderFactStatus;
  readonly state: OrderState | undefined;
}

/** An order and the events of its stream, as of one moment. */
export interface OrderHistory extends OrderFact {
  readonly state: OrderState | undefined;
  /** By version. */
  readonly events: readonly { readonly version: number; readonly type: string }[];
  /** Whether the stored state is, byte for byte, that of the last event: undefined without events. */
  readonly stateOfLastEvent: boolean | undefined;
}

export interface OrderFacts {
  orders(statuses: readonly OrderFactStatus[], after: string, limit: number): Promise<OrderFact[]>;
  ordersByIds(ids: readonly string[]): Promise<OrderFact[]>;
  /** Those of these orders that are being cancelled. */
  cancelling(ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** PAID and COMPLETED ones. */
  paidOrders(after: string, limit: number): Promise<OrderWithState[]>;
  /** Those that were paid at some time, whatever happened to them since. */
  everPaid(after: string, limit: number): Promise<{ readonly id: string }[]>;
  /** Those of these orders that were ever paid, with the id of the event that recorded it. */
  paidEvents(ids: readonly string[]): Promise<ReadonlyMap<string, string>>;
  histories(after: string, limit: number): Promise<OrderHistory[]>;
}

const paidType = eventTypeOf(OrderPaidSchema);
const columns = sql`id, version, status, customer, currency, total as "totalMinor", payment`;

export const orderFacts: ServiceFacts<OrderFacts> = {
  service: "orders",
  from: (orders) => ({
    orders: (statuses, after, limit) =>
      orders.rows(sql`select ${columns} from orders where status = any(${statuses}::text[]) and id > ${after} order by id limit ${limit}`),
    ordersByIds: (ids) => orders.rows(sql`select ${columns} from orders where id = any(${[...new Set(ids)]}::text[])`),
    async cancelling(ids) {
      if (ids.length === 0) return new Set();
      const rows = await orders.rows<StateRow>(sql`select id, status, state from orders where id = any(${ids}::text[])`);
      return new Set(rows.map(withState).flatMap(({ id, state }) => (state?.cancelling === true ? [id] : [])));
    },
    async paidOrders(after, limit) {
      const rows = await orders.rows<StateRow>(
        sql`select id, status, state from orders where status in ('PAID', 'COMPLETED') and id > ${after} order by id limit ${limit}`,
      );
      return rows.map(withState);
    },
    everPaid: (after, limit) =>
      orders.rows(sql`
        select id from orders o where id > ${after}
          and (status in ('PAID', 'COMPLETED') or status = 'CANCELLED' and ${hasEvent(sql`o.id`, paidType)}) order by id limit ${limit}`),
    paidEvents: async (ids) => new Map((await eventsOfType(orders, paidType, ids)).map(({ stream, id }) => [stream, id])),
    histories: (after, limit) => histories(orders, after, limit),
  }),
};

interface StateRow {
  readonly id: string;
  readonly status: OrderFactStatus;
  readonly state: Uint8Array;
}

function withState({ id, status, state }: StateRow): OrderWithState {
  return { id, status, state: tryDecode(() => fromBinary(OrderStateSchema, state)) };
}

interface HistoryRow extends OrderFact {
  readonly state: Uint8Array;
  /** Null for a tombstone. */
  readonly versions: readonly number[] | null;
  readonly types: readonly string[] | null;
  readonly data: Uint8Array | null;
}

async function histories(orders: Queries, after: string, limit: number): Promise<OrderHistory[]> {
  const rows = await orders.rows<HistoryRow>(sql`
    select o.*, history.versions, history.types, e.data
    from (select ${columns}, state from orders where id > ${after} order by id limit ${limit}) o
    ${joinHistory(sql`o.id`)} ${joinLastEvent(sql`o.id`)} order by o.id`);
  return rows.map(({ versions, types, data, state, ...order }) => ({
    ...order,
    state: withState({ ...order, state }).state,
    events: (versions ?? []).map((version, at) => ({ version, type: types![at]! })),
    // All events of an order have its state in the first field.
    stateOfLastEvent: data === null ? undefined : Buffer.from(state).equals(firstField(data) ?? Buffer.alloc(0)),
  }));
}
