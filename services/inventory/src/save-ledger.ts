import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { ClaimRefusedSchema } from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Movement } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import type { NewEvents } from "@kontor/platform/events/events.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { unitsIn } from "./stock-ledger.ts";
import type { StockLedger, StoredReservation } from "./stock-ledger.ts";
import type { Level, ReservationStatus } from "./stock.ts";
import type { StockCounts } from "./stock-counts.ts";
import { eventOf, movementsOf } from "./stock-messages.ts";

/** What saving a ledger needs. */
export type LedgerNeeds = Pick<ServiceContext, "events" | "ids" | "clock"> & { readonly counts: Pick<StockCounts, "put"> };

/** How a ledger is saved. */
export interface SavedLedger {
  readonly movements: readonly Movement[];
  /**
   * For the end of the transaction. They fail when another transaction has written a reservation of the same orders since the ledger was opened, by 23505
   * for a new one and 22012 for one that was there. Absent when nothing was decided.
   */
  readonly writes: Writes | undefined;
}

export interface SaveOptions {
  readonly call: Call;
  readonly note?: string;
  /** What led to an order's own events, when it is not the call. */
  readonly callOf?: (order: string) => Call;
}

/** What was decided, with its events, as writes. */
export function saveLedger(
  { events, ids, clock, counts }: LedgerNeeds,
  tx: Transaction,
  ledger: StockLedger,
  { call, note = "", callOf = () => call }: SaveOptions,
): SavedLedger {
  const at = clock.now();
  const movements: Movement[] = [];
  const streams = new Map<string, { readonly stream: string; readonly expectedVersion: number; readonly events: Message[] }>();
  for (const change of ledger.changes) {
    const moves = movementsOf(change, { at, actor: call.actor, note, newId: () => ids.next("mov") });
    movements.push(...moves);
    const event = eventOf(change, moves, at);
    const stream = streams.get(change.sku);
    if (stream === undefined) streams.set(change.sku, { stream: change.sku, expectedVersion: change.after.version - 1, events: [event] });
    else stream.events.push(event);
  }
  const levels = Array.from(streams.keys(), (sku) => ledger.levels.get(sku)!);
  const refused = ledger.refusedClaims.map((order) => {
    return { stream: order, expectedVersion: 0, events: [create(ClaimRefusedSchema, { order })], call: callOf(order) };
  });
  const recorded: NewEvents[] = [...streams.values(), ...refused];
  const eventCount = ledger.changes.length + refused.length;
  // Sorted, so that two who write the same orders over different stock wait for each other in one direction only.
  const orders = [...ledger.changed.keys()].toSorted();
  const added = orders.filter((order) => ledger.changed.get(order) === undefined).map((order) => ledger.reservations.get(order)!);
  const changed = orders.filter((order) => ledger.changed.get(order) !== undefined).map((order) => ledger.reservations.get(order)!);

  const parts: Sql[] = [];
  if (added.length > 0) parts.push(sql`added as (${insertReservations(added, at)})`);
  if (changed.length > 0) parts.push(sql`changed as (${updateReservations(changed, ledger.changed, at)})`);
  if (levels.length > 0) {
    parts.push(sql`levelled as (${updateLevels(levels, at)})`);
    tx.afterCommit(() => counts.put(levels, at));
  }
  if (movements.length > 0) parts.push(sql`moved as (${insertMovements(movements, at)})`);
  if (eventCount > 0) {
    parts.push(sql`recorded as (${events.appendSql(call, recorded)})`);
    tx.afterCommit(() => events.wake(recorded));
  }
  if (parts.length === 0) return { movements, writes: undefined };
  const complete = [
    ...(changed.length > 0 ? [sql`(select count(*) from changed) = ${changed.length}`] : []),
    ...(eventCount > 0 ? [sql`(select count(*) from recorded) = ${eventCount}`] : []),
  ];
  return { movements, writes: { parts, complete } };
}

function insertReservations(reservations: readonly StoredReservation[], at: Date): Sql {
  return sql`insert into reservations (order_id, status, lines, refusal, expires_at, account, origin, units, updated_at)
    select order_id, status, lines::jsonb, refusal::jsonb, expires_at, account, origin, units, ${at}
    from unnest(${reservations.map(({ order }) => order)}::text[], ${reservations.map(({ status }) => status)}::text[],
      ${reservations.map(({ lines }) => JSON.stringify(lines))}::text[], ${reservations.map(({ refusal }) => refusal && JSON.stringify(refusal))}::text[],
      ${reservations.map(({ expiresAt }) => expiresAt)}::timestamptz[], ${reservations.map(({ holder }) => holder?.account ?? null)}::text[],
      ${reservations.map(({ holder }) => holder?.origin ?? null)}::text[], ${reservations.map(({ lines }) => unitsIn(lines))}::int[])
      as r (order_id, status, lines, refusal, expires_at, account, origin, units)`;
}

/** Only those that still have the status that the ledger has read. None becomes HELD again, and where it was ordered from matters to nobody then. */
function updateReservations(
  reservations: readonly StoredReservation[],
  seen: ReadonlyMap<string, ReservationStatus | undefined>,
  at: Date,
): Sql {
  return sql`update reservations r set status = c.status, lines = c.lines::jsonb, origin = null, updated_at = ${at}
    from unnest(${reservations.map(({ order }) => order)}::text[], ${reservations.map(({ order }) => seen.get(order))}::text[],
      ${reservations.map(({ status }) => status)}::text[], ${reservations.map(({ lines }) => JSON.stringify(lines))}::text[]) as c (order_id, seen, status, lines)
    where r.order_id = c.order_id and r.status = c.seen
    returning 1`;
}

function updateLevels(levels: readonly Level[], at: Date): Sql {
  return sql`update stock s set on_hand = l.on_hand, reserved = l.reserved, version = l.version, updated_at = ${at}
    from unnest(${levels.map(({ sku }) => sku)}::text[], ${levels.map(({ onHand }) => onHand)}::int[], ${levels.map(({ reserved }) => reserved)}::int[],
      ${levels.map(({ version }) => version)}::int[]) as l (sku, on_hand, reserved, version)
    where s.sku = l.sku`;
}

function insertMovements(movements: readonly Movement[], at: Date): Sql {
  return sql`insert into movements (id, sku, kind, quantity, note, order_id, actor, at)
    select id, sku, kind, quantity, note, order_id, actor, ${at}
    from unnest(${movements.map(({ id }) => id)}::text[], ${movements.map(({ sku }) => sku)}::text[],
      ${movements.map(({ kind }) => MovementKind[kind])}::text[], ${movements.map(({ quantity }) => quantity)}::int[],
      ${movements.map(({ note }) => note)}::text[], ${movements.map(({ order }) => order)}::text[],
      ${movements.map(({ actor }) => actor)}::text[]) as m (id, sku, kind, quantity, note, order_id, actor)`;
}
