import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { createLookup } from "@kontor/platform/batch/lookup.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { readPage } from "@kontor/platform/database/cursor.ts";
import type { Page, PageRequest } from "@kontor/platform/database/cursor.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** An order as it is stored. */
export interface StoredOrder {
  readonly id: string;
  /** The version of its last event. */
  readonly version: number;
  readonly state: OrderState;
  readonly paymentSecret: string;
  readonly updatedAt: Date;
}

interface Row {
  readonly id: string;
  readonly version: number;
  readonly status: string;
  readonly state: Uint8Array;
  readonly payment_secret: string;
  readonly updated_at: Date;
}

const columns = sql`id, version, status, state, payment_secret, updated_at`;

/** The order, locked until the transaction ends, at the version that the caller has seen. Refuses with NOT_FOUND and VERSION_CONFLICT. */
export async function lockOrder(tx: Transaction, id: string, seen: SeenVersion): Promise<StoredOrder> {
  const order = present(await tx.maybe<Row>(sql`select ${columns} from orders where id = ${id} and status <> 'VOID' for update`));
  seen.expect("order", order);
  return order;
}

/** Those of the orders that exist, locked in the order of their ids, so that two batches cannot wait for each other. */
export async function lockOrders(tx: Transaction, ids: readonly string[]): Promise<Map<string, StoredOrder>> {
  const rows = await tx.rows<Row>(
    sql`select ${columns} from orders where id = any(${ids}::text[]) and status <> 'VOID' order by id for update`,
  );
  return new Map(rows.map((row) => [row.id, storedOrder(row)]));
}

/** The order. Refuses with NOT_FOUND. */
export async function readOrder(queries: Queries, id: string): Promise<StoredOrder> {
  return present(await queries.maybe<Row>(sql`select ${columns} from orders where id = ${id} and status <> 'VOID'`));
}

/** Finds an order by its id. Refuses with NOT_FOUND. */
export type FindOrder = (id: string, call: Call) => Promise<StoredOrder>;

/** Finds those that are looked for at the same time in one statement. */
export function orderLookup(queries: Queries): FindOrder {
  const { find } = createLookup<StoredOrder>("orders.find", async (ids) => {
    const rows = await queries.rows<Row>(sql`select ${columns} from orders where id = any(${ids}::text[]) and status <> 'VOID'`);
    return new Map(rows.map((row) => [row.id, storedOrder(row)]));
  });
  return async (id, call) => (await find(id, call)) ?? refuseUnknown();
}

/** Those of the orders that exist, "VOID" for a tombstone. */
export async function readOrdersOrVoid(queries: Queries, ids: readonly string[]): Promise<Map<string, StoredOrder | "VOID">> {
  if (ids.length === 0) return new Map();
  const rows = await queries.rows<Row>(sql`select ${columns} from orders where id = any(${ids}::text[])`);
  return new Map(rows.map((row) => [row.id, row.status === "VOID" ? "VOID" : storedOrder(row)]));
}

/** The versions of those of the orders that exist. */
export function orderVersions(queries: Queries, ids: readonly string[]): Promise<{ id: string; version: number }[]> {
  return queries.rows(sql`select id, version from orders where id = any(${ids}::text[])`);
}

export interface OrderFilter {
  readonly customer: string | undefined;
  readonly status: OrderStatus;
  readonly createdAfter: Date | undefined;
  readonly createdBefore: Date | undefined;
}

/** A page of orders, newest first. Refuses with INVALID_CURSOR. */
export function readOrders(queries: Queries, request: PageRequest, filter: OrderFilter): Promise<Page<StoredOrder>> {
  const conditions: Sql[] = [];
  if (filter.createdAfter !== undefined) conditions.push(sql`created_at > ${filter.createdAfter}`);
  if (filter.createdBefore !== undefined) conditions.push(sql`created_at < ${filter.createdBefore}`);
  return readPage(request, {
    sortedBy: ["timeMs", "id"],
    valuesOf: ({ state, id }) => [timestampDate(state.createdAt!).getTime(), id],
    async read(after, limit) {
      const older = after === undefined ? sql`true` : sql`(created_at, id) < (${new Date(after[0])}, ${after[1]})`;
      const page = (of: Sql) => sql`(select ${columns}, created_at from orders where ${sql.join([of, ...conditions, older], sql` and `)}
        order by created_at desc, id desc limit ${limit})`;
      const rows = await queries.rows<Row>(sql`select ${columns} from (${sql.join(listedBy(filter).map(page), sql` union all `)}) as orders
        order by created_at desc, id desc limit ${limit}`);
      return rows.map(storedOrder);
    },
  });
}

/** A condition for each part of a list that an index has in its order: the orders of a customer, or of each status. */
function listedBy({ customer, status }: OrderFilter): readonly Sql[] {
  const all = status === OrderStatus.ORDER_STATUS_UNSPECIFIED;
  const statuses = all ? listed : [OrderStatus[status]];
  if (customer !== undefined) return [sql`customer = ${customer} and status = any(${statuses}::text[])`];
  return statuses.map((one) => sql`status = ${one}`);
}

/** All but tombstones. */
const listed: readonly string[] = ["PENDING", "PAID", "COMPLETED", "CANCELLED"];

export interface NewOrder {
  readonly version: number;
  readonly state: OrderState;
  readonly paymentSecret: string;
}

/** `insert into orders … returning id` for new orders; none for an id that is taken. Inserted in the order of their ids, so that two batches cannot wait for each other. */
export function insertOrdersSql(orders: readonly NewOrder[]): Sql {
  const sorted = orders.toSorted((a, b) => (a.state.order < b.state.order ? -1 : 1));
  const totals = sorted.map(({ state }) => moneyFrom(state.total!));
  return sql`insert into orders (id, version, status, customer, currency, total, iso_4217, payment, payment_secret, state, created_at, updated_at)
    select id, version, status, customer, currency, total, true, payment, payment_secret, state, created_at, created_at
    from unnest(${sorted.map(({ state }) => state.order)}::text[], ${sorted.map(({ version }) => version)}::int[],
      ${sorted.map(({ state }) => OrderStatus[state.status])}::text[], ${sorted.map(({ state }) => state.customer)}::text[],
      ${totals.map(({ currency }) => currency)}::text[], ${totals.map(({ minor }) => minor)}::bigint[],
      ${sorted.map(({ state }) => state.payment)}::text[], ${sorted.map(({ paymentSecret }) => paymentSecret)}::text[],
      ${sorted.map(({ state }) => toBinary(OrderStateSchema, state))}::bytea[], ${sorted.map(({ state }) => timestampDate(state.createdAt!))}::timestamptz[])
      as new (id, version, status, customer, currency, total, payment, payment_secret, state, created_at)
    on conflict (id) do nothing
    returning id`;
}

/** Inserts a tombstone for an order that must never be made. Gives false when there is an order already. */
export async function insertTombstone(tx: Transaction, id: string, at: Date): Promise<boolean> {
  const inserted = await tx.run(
    sql`insert into orders (id, version, status, customer, currency, total, payment, payment_secret, state, created_at, updated_at)
      values (${id}, 0, 'VOID', '', 'XXX', 0, '', '', ''::bytea, ${at}, ${at}) on conflict (id) do nothing`,
  );
  return inserted === 1;
}

export interface OrderChange {
  readonly order: StoredOrder;
  readonly state: OrderState;
  /** How many events the change has. */
  readonly events: number;
}

/** `update orders … returning id` for changed orders, which the transaction has locked. */
export function updateOrdersSql(changes: readonly OrderChange[], at: Date): Sql {
  return sql`update orders set version = orders.version + change.events, status = change.status, state = change.state, updated_at = ${at}
      from unnest(${changes.map(({ order }) => order.id)}::text[], ${changes.map(({ order }) => order.version)}::int[],
        ${changes.map(({ events }) => events)}::int[], ${changes.map(({ state }) => OrderStatus[state.status])}::text[],
        ${changes.map(({ state }) => toBinary(OrderStateSchema, state))}::bytea[]) as change (id, version, events, status, state)
      where orders.id = change.id and orders.version = change.version
      returning orders.id`;
}

function storedOrder(row: Row): StoredOrder {
  return {
    id: row.id,
    version: row.version,
    state: fromBinary(OrderStateSchema, row.state),
    paymentSecret: row.payment_secret,
    updatedAt: row.updated_at,
  };
}

function present(row: Row | undefined): StoredOrder {
  return row === undefined ? refuseUnknown() : storedOrder(row);
}

function refuseUnknown(): never {
  throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such order" });
}
