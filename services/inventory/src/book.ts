import { moved, outOfStock, shortages, sumBySku } from "./stock.ts";
import type { Change, ChangeKind, Level, Reservation, ReservationStatus, Shortage, Units } from "./stock.ts";

/** A reservation in the book, with what has to be stored of it. */
export interface BookedReservation extends Reservation {
  readonly expiresAt: Date;
  readonly refusal: readonly Shortage[] | null;
}

/** A change of one SKU that may gather many orders: one event. */
export interface BookedChange {
  readonly kind: ChangeKind;
  readonly sku: string;
  readonly parts: Change[];
  /** The level after its last part. */
  after: Level;
}

/**
 * The locked stock and reservations of one transaction, with the rules: what is decided here is written as a whole afterwards, or not
 * at all. Decisions fall in the order of the calls.
 */
export class Book {
  readonly levels: Map<string, Level>;
  readonly reservations: Map<string, BookedReservation>;
  /** In the order of the decisions; neighbours of one kind and SKU are one. */
  readonly changes: BookedChange[] = [];
  readonly changedReservations = new Set<string>();
  readonly refusedClaims: string[] = [];
  readonly #openChange = new Map<string, BookedChange>();

  constructor(levels: Iterable<Level>, reservations: Iterable<BookedReservation>) {
    this.levels = new Map(Array.from(levels, (level) => [level.sku, level]));
    this.reservations = new Map(Array.from(reservations, (reservation) => [reservation.order, reservation]));
  }

  /** Sets units aside for an order, all lines or none; an order that has an answer gets it again. Gives what is missing, or the tombstone. */
  reserve(order: string, lines: readonly Units[], expiresAt: Date): BookedReservation {
    const known = this.reservations.get(order);
    if (known !== undefined) return known;
    const units = sumBySku(lines);
    const missing = shortages(this.levels, units);
    const held = missing.length === 0;
    const reservation: BookedReservation = { order, status: held ? "HELD" : "REFUSED", lines: units, expiresAt, refusal: held ? null : missing };
    this.#store(reservation);
    if (held) for (const line of units) this.#change("RESERVED", line, order);
    return reservation;
  }

  /** Frees what is held for an order. Nothing happens unless it is held. */
  free(order: string): void {
    const reservation = this.reservations.get(order);
    if (reservation?.status !== "HELD") return;
    this.#status(reservation, "FREED");
    for (const line of reservation.lines) this.#change("RELEASED", line, order);
  }

  /**
   * A paid order claims its units. When its reservation had run out it takes free units again; when there are too few, the claim is
   * refused, and the payment has to be given back.
   */
  claim(order: string, lines: readonly Units[]): void {
    const reservation = this.reservations.get(order) ?? { order, status: "FREED", lines: sumBySku(lines), expiresAt: new Date(0), refusal: null };
    if (reservation.status === "SOLD") return;
    const units = reservation.lines.length > 0 ? reservation.lines : sumBySku(lines);
    if (reservation.status !== "HELD") {
      if (shortages(this.levels, units).length > 0) {
        this.refusedClaims.push(order);
        return;
      }
      for (const line of units) this.#change("RESERVED", line, order);
    }
    this.#store({ ...reservation, lines: units, status: "SOLD" });
    for (const line of units) this.#change("CLAIMED", line, order);
  }

  /** A cancelled order gives back what it holds or has been sold, once. */
  giveBack(order: string): void {
    const reservation = this.reservations.get(order);
    if (reservation?.status !== "SOLD") return this.free(order);
    this.#status(reservation, "FREED");
    for (const line of reservation.lines) this.#change("RETURNED", line, order);
  }

  /** Books goods in, or out when there are as many free. Refuses with OUT_OF_STOCK otherwise. */
  book(kind: "RECEIVED" | "WRITTEN_OFF", units: Units): void {
    if (kind === "WRITTEN_OFF") {
      const missing = shortages(this.levels, [units]);
      if (missing.length > 0) throw outOfStock(missing);
    }
    this.#change(kind, units, "");
  }

  #status(reservation: BookedReservation, status: ReservationStatus): void {
    this.#store({ ...reservation, status });
  }

  #store(reservation: BookedReservation): void {
    this.reservations.set(reservation.order, reservation);
    this.changedReservations.add(reservation.order);
  }

  #change(kind: ChangeKind, { sku, quantity }: Units, order: string): void {
    const level = this.levels.get(sku) ?? { sku, onHand: 0, reserved: 0, version: 0 };
    const open = this.#openChange.get(sku);
    if (open?.kind === kind) {
      // The same event: the level moves on, its version does not.
      open.after = { ...moved(level, { kind, quantity }), version: level.version };
      open.parts.push({ kind, sku, quantity, order });
      this.levels.set(sku, open.after);
      return;
    }
    const after = moved(level, { kind, quantity });
    const change: BookedChange = { kind, sku, parts: [{ kind, sku, quantity, order }], after };
    this.levels.set(sku, after);
    this.#openChange.set(sku, change);
    this.changes.push(change);
  }
}
