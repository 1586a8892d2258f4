import type { HolderIds, Holdings } from "./holdings.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { available, moved, onHandMax, outOfStock, shortages, sumBySku } from "./stock.ts";
import type { ChangeKind, Level, Policy, Reservation, ReservationStatus, Shortage, Units } from "./stock.ts";

/** A reservation with all that is stored of it. */
export interface StoredReservation extends Reservation {
  readonly expiresAt: Date;
  readonly refusal: readonly Shortage[] | null;
  /** Of one that is made now. */
  readonly holder?: HolderIds | undefined;
}

/** The units of one order in a change; the order is "" for goods that came or were written off. */
export interface OrderUnits {
  readonly order: string;
  readonly quantity: number;
}

/** A change of one SKU, for any number of orders: one event. */
export interface StockChange {
  readonly kind: ChangeKind;
  readonly sku: string;
  readonly orders: OrderUnits[];
  /** The level after its last order. */
  after: Level;
}

/**
 * The locked stock and the reservations of one transaction, with the rules: what is decided here is written as a whole afterwards, or not
 * at all. Decisions fall in the order of the calls. Whatever is requested twice, late or in another order, an order's units are sold once at
 * most and come back once at most.
 */
export class StockLedger {
  readonly levels: Map<string, Level>;
  readonly reservations: Map<string, StoredReservation>;
  /** In the order of the decisions; neighbours of one kind and SKU are one. */
  readonly changes: StockChange[] = [];
  /** The orders whose reservations changed, with the status that each had: undefined for a new one. */
  readonly changed = new Map<string, ReservationStatus | undefined>();
  readonly refusedClaims: string[] = [];
  readonly #openChange = new Map<string, StockChange>();

  readonly #holdings: Holdings | undefined;

  constructor(levels: readonly Level[], reservations: readonly StoredReservation[], holdings?: Holdings) {
    this.#holdings = holdings;
    this.levels = new Map(levels.map((level) => [level.sku, level]));
    this.reservations = new Map(reservations.map((reservation) => [reservation.order, reservation]));
  }

  /** Why this holder may not have an order; undefined when it may, and for an order about which something is decided already. */
  refusalOf(order: string, lines: readonly Units[], holder: HolderIds): Error | undefined {
    return this.reservations.has(order) ? undefined : this.#holdings?.refusalOf(holder, unitsIn(lines));
  }

  /** Sets units aside for an order, all lines or none; an order that has a reservation, a refusal or a tombstone gets that again. */
  reserve(order: string, lines: readonly Units[], expiresAt: Date, holder: HolderIds = nobody): StoredReservation {
    const known = this.reservations.get(order);
    if (known !== undefined) return known;
    const units = sumBySku(lines);
    const missing = shortages(this.levels, units);
    if (missing.length > 0) return this.#store({ order, status: "REFUSED", lines: units, expiresAt, refusal: missing });
    for (const line of units) this.#change("RESERVED", line, order);
    this.#holdings?.add(holder, unitsIn(units));
    return this.#store({ order, status: "HELD", lines: units, expiresAt, refusal: null, holder });
  }

  /** Frees what is held for an order. Leaves a tombstone where nothing is known, so that a late `reserve` gets that. */
  release(order: string): void {
    const reservation = this.reservations.get(order);
    if (reservation === undefined) this.#store(tombstone(order, "FREED"));
    if (reservation?.status !== "HELD") return;
    for (const line of reservation.lines) this.#change("RELEASED", line, order);
    this.#store({ ...reservation, status: "FREED" });
  }

  /**
   * A paid order claims its units. When its reservation had run out it takes free units again; when there are too few, the claim is
   * refused for good, because the payment is refunded then.
   */
  claim(order: string, lines: readonly Units[]): void {
    const reservation = this.reservations.get(order) ?? tombstone(order, "FREED");
    if (reservation.status === "SOLD" || reservation.status === "CLOSED") return;
    const units = reservation.lines.length > 0 ? reservation.lines : sumBySku(lines);
    if (reservation.status !== "HELD") {
      if (shortages(this.levels, units).length > 0) {
        this.refusedClaims.push(order);
        this.#store({ ...reservation, status: "CLOSED" });
        return;
      }
      for (const line of units) this.#change("RESERVED", line, order);
    }
    for (const line of units) this.#change("CLAIMED", line, order);
    this.#store({ ...reservation, lines: units, status: "SOLD" });
  }

  /** A cancelled order gives back what it holds or was sold. From then on nothing moves for it. */
  cancel(order: string): void {
    const reservation = this.reservations.get(order) ?? tombstone(order, "FREED");
    if (reservation.status === "CLOSED") return;
    const kind = reservation.status === "SOLD" ? "RETURNED" : reservation.status === "HELD" ? "RELEASED" : undefined;
    if (kind !== undefined) for (const line of reservation.lines) this.#change(kind, line, order);
    this.#store({ ...reservation, status: "CLOSED" });
  }

  /** Adds goods that came, or takes out what is written off. Refuses with OUT_OF_STOCK more than is free, with INVALID_REQUEST more than can be counted. */
  move(kind: "RECEIVED" | "WRITTEN_OFF", units: Units): void {
    const level = this.levels.get(units.sku);
    if (kind === "WRITTEN_OFF" && units.quantity > available(level))
      throw outOfStock([{ sku: units.sku, asked: units.quantity, available: available(level) }]);
    if (kind === "RECEIVED" && (level?.onHand ?? 0) + units.quantity > onHandMax) throw tooMany();
    this.#change(kind, units, "");
  }

  /** Sets whether orders may have more units than there are. False when that is how it is. */
  setPolicy(sku: string, policy: Policy): boolean {
    const level = this.levels.get(sku)!;
    if ((level.policy ?? "COUNTED") === policy) return false;
    this.#add({ kind: "POLICY", sku, orders: [], after: { ...level, policy, version: level.version + 1 } });
    return true;
  }

  #store(reservation: StoredReservation): StoredReservation {
    const { order } = reservation;
    if (!this.changed.has(order)) this.changed.set(order, this.reservations.get(order)?.status);
    this.reservations.set(order, reservation);
    return reservation;
  }

  #change(kind: ChangeKind, { sku, quantity }: Units, order: string): void {
    const level = this.levels.get(sku);
    // Its row would not be locked, and what others do to it meanwhile would be overwritten.
    if (level === undefined) throw new Error(`${sku} is not in the ledger`);
    const after = moved(level, kind, quantity);
    const open = this.#openChange.get(sku);
    if (open?.kind === kind) {
      // The same event: the units move on, the version does not.
      open.orders.push({ order, quantity });
      open.after = after;
      this.levels.set(sku, after);
      return;
    }
    this.#add({ kind, sku, orders: [{ order, quantity }], after: { ...after, version: level.version + 1 } });
  }

  #add(change: StockChange): void {
    this.levels.set(change.sku, change.after);
    this.#openChange.set(change.sku, change);
    this.changes.push(change);
  }
}

const nobody: HolderIds = { account: undefined, origin: undefined };

/** How many units these lines are together. */
export function unitsIn(lines: readonly Units[]): number {
  return lines.reduce((sum, { quantity }) => sum + quantity, 0);
}

function tombstone(order: string, status: ReservationStatus): StoredReservation {
  return { order, status, lines: [], expiresAt: new Date(0), refusal: null };
}

function tooMany(): Error {
  return refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    fields: [{ field: "quantity", reason: "TOO_LARGE", message: `there would be more than ${onHandMax} units in the warehouse` }],
  });
}
