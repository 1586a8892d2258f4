import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  ClaimRefusedSchema,
  StockClaimedSchema,
  StockMovedSchema,
  StockReleasedSchema,
  StockReservedSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { MovementKind, MovementSchema, StockSchema } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Movement, Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { NewEvents } from "@kontor/platform/events/events.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { Book } from "./book.ts";
import type { BookedChange, BookedReservation } from "./book.ts";
import type { Level, ReservationStatus, Shortage, Units } from "./stock.ts";

type Needs = Pick<Surroundings, "events" | "ids">;

interface ReservationRow {
  readonly order_id: string;
  readonly status: ReservationStatus;
  readonly lines: readonly Units[];
  readonly refusal: readonly Shortage[] | null;
  readonly expires_at: Date;
}

/**
 * Opens the book for these SKUs and orders. The stock rows are locked first, in the order of their SKUs; only then, in a statement of its
 * own, are the reservations read: a snapshot older than the wait for the locks would miss what the one before us wrote.
 */
export async function openBook(tx: Transaction, skus: Iterable<string>, orders: readonly string[]): Promise<Book> {
  const [levels, reservations] = await Promise.all([lockLevels(tx, [...skus]), readReservations(tx, orders)]);
  return new Book(levels, reservations);
}

/** The same for orders whose SKUs are not known beforehand: their reservations say which. */
export async function openBookOf(tx: Transaction, orders: readonly string[], skus: Iterable<string>): Promise<Book> {
  const held = await readReservations(tx, orders);
  const all = new Set(skus);
  for (const { lines } of held) for (const { sku } of lines) all.add(sku);
  return openBook(tx, all, orders);
}

async function lockLevels(tx: Transaction, skus: readonly string[]): Promise<Level[]> {
  return tx.rows<Level>(
    sql`select sku, on_hand as "onHand", reserved, version from stock where sku = any(${skus}::text[]) order by sku for no key update`,
  );
}

export async function readReservations(tx: Queries, orders: readonly string[]): Promise<BookedReservation[]> {
  const rows = await tx.rows<ReservationRow>(
    sql`select order_id, status, lines, refusal, expires_at from reservations where order_id = any(${orders}::text[])`,
  );
  return rows.map((row) => ({ order: row.order_id, status: row.status, lines: row.lines, refusal: row.refusal, expiresAt: row.expires_at }));
}

/**
 * Writes what was decided, with its events, in two statements. Somebody who reserved for the same order through other SKUs meanwhile makes
 * it throw: the whole transaction is then done again.
 */
export async function saveBook({ events, ids }: Needs, tx: Transaction, book: Book, options: { call: Call; at: Date; note?: string }): Promise<Movement[]> {
  const { call, at } = options;
  const reservations = Array.from(book.changedReservations, (order) => book.reservations.get(order)!);
  const levels = Array.from(new Set(book.changes.map(({ sku }) => sku)), (sku) => book.levels.get(sku)!);
  const movements: Movement[] = [];
  const streams = new Map<string, { version: number; events: Message[] }>();
  for (const change of book.changes) {
    const { message, booked } = eventOf(change, { ids, at, actor: call.actor, note: options.note ?? "" });
    movements.push(...booked);
    const stream = streams.get(change.sku);
    if (stream === undefined) streams.set(change.sku, { version: change.after.version - 1, events: [message] });
    else stream.events.push(message);
  }
  const appended: NewEvents[] = Array.from(streams, ([stream, { version, events: messages }]) => ({ stream, expectedVersion: version, events: messages }));
  for (const order of book.refusedClaims) appended.push({ stream: `claim:${order}`, expectedVersion: 0, events: [create(ClaimRefusedSchema, { order })] });
  if (reservations.length + levels.length > 0) {
    const { stored } = await tx.one<{ stored: number }>(sql`
      with stored as (
        insert into reservations (order_id, status, lines, refusal, expires_at, updated_at)
        select order_id, status, lines::jsonb, refusal::jsonb, expires_at, ${at}
        from unnest(${reservations.map(({ order }) => order)}::text[], ${reservations.map(({ status }) => status)}::text[],
          ${reservations.map(({ lines }) => JSON.stringify(lines))}::text[],
          ${reservations.map(({ refusal }) => refusal && JSON.stringify(refusal))}::text[],
          ${reservations.map(({ expiresAt }) => expiresAt)}::timestamptz[]) as r (order_id, status, lines, refusal, expires_at)
        on conflict (order_id) do update set status = excluded.status, lines = excluded.lines, updated_at = excluded.updated_at
        where reservations.status in ('HELD', 'SOLD', 'FREED') and excluded.status in ('SOLD', 'FREED')
        returning 1
      ), levelled as (
        insert into stock (sku, on_hand, reserved, version, updated_at)
        select sku, on_hand, reserved, version, ${at}
        from unnest(${levels.map(({ sku }) => sku)}::text[], ${levels.map(({ onHand }) => onHand)}::int[],
          ${levels.map(({ reserved }) => reserved)}::int[], ${levels.map(({ version }) => version)}::int[]) as l (sku, on_hand, reserved, version)
        on conflict (sku) do update
        set on_hand = excluded.on_hand, reserved = excluded.reserved, version = excluded.version, updated_at = excluded.updated_at
      ), moved as (
        insert into movements (id, sku, kind, quantity, note, order_id, actor, at)
        select id, sku, kind, quantity, ${options.note ?? ""}, order_id, ${call.actor}, ${at}
        from unnest(${movements.map(({ id }) => id)}::text[], ${movements.map(({ sku }) => sku)}::text[],
          ${movements.map(({ kind }) => MovementKind[kind])}::text[], ${movements.map(({ quantity }) => quantity)}::int[],
          ${movements.map(({ order }) => order)}::text[]) as m (id, sku, kind, quantity, order_id)
      )
      select count(*)::int as stored from stored`);
    if (stored !== reservations.length) throw new BookOutdated();
  }
  if (appended.length > 0) await events.append(tx, call, appended);
  return movements;
}

/** Another wrote a reservation of the same order since the book was opened. */
export class BookOutdated extends Error {
  constructor() {
    super("a reservation was written by another meanwhile");
    this.name = "BookOutdated";
  }
}

interface Circumstances {
  readonly ids: Needs["ids"];
  readonly at: Date;
  readonly actor: string;
  readonly note: string;
}

function eventOf({ kind, parts, after }: BookedChange, circumstances: Circumstances): { message: Message; booked: Movement[] } {
  const stock = stockMessage(after, circumstances.at);
  const orders = parts.map(({ order, quantity }) => ({ order, quantity }));
  switch (kind) {
    case "RESERVED":
      return { message: create(StockReservedSchema, { stock, orders }), booked: [] };
    case "RELEASED":
      return { message: create(StockReleasedSchema, { stock, orders }), booked: [] };
    case "CLAIMED":
      return {
        message: create(StockClaimedSchema, { stock, orders }),
        booked: parts.map(({ sku, order, quantity }) => movementOf({ sku, order, quantity: -quantity, kind: MovementKind.CLAIMED }, circumstances)),
      };
    case "RECEIVED":
    case "RETURNED":
    case "WRITTEN_OFF": {
      const sign = kind === "WRITTEN_OFF" ? -1 : 1;
      const booked = parts.map(({ sku, order, quantity }) =>
        movementOf({ sku, order, quantity: sign * quantity, kind: MovementKind[kind] }, circumstances),
      );
      return { message: create(StockMovedSchema, { stock, movements: booked }), booked };
    }
  }
}

function movementOf(init: Pick<Movement, "sku" | "order" | "quantity" | "kind">, { ids, at, actor, note }: Circumstances): Movement {
  return create(MovementSchema, { ...init, id: ids.next("mov"), at: timestampFromDate(at), actor, note });
}

export function stockMessage({ sku, onHand, reserved, version }: Level, at: Date): Stock {
  return create(StockSchema, { sku, onHand, reserved, available: onHand - reserved, version, updatedAt: timestampFromDate(at) });
}
