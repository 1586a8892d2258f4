import { refuse } from "@kontor/platform/errors/refusal.ts";

/** The units of one SKU. */
export interface Level {
  readonly sku: string;
  readonly onHand: number;
  readonly reserved: number;
  /** How many events its stream has. */
  readonly version: number;
  /** COUNTED when absent. */
  readonly policy?: Policy;
}

/** COUNTED: no order gets units that are not there. BACKORDER: orders are taken for units to come. NOT_COUNTED: there is always enough. */
export type Policy = "COUNTED" | "BACKORDER" | "NOT_COUNTED";

export interface Units {
  readonly sku: string;
  readonly quantity: number;
}

/**
 * HELD: set aside. REFUSED: there were too few. SOLD: claimed. FREED: released in time, or the tombstone of one that never came; a payment
 * may still claim. CLOSED: the order was cancelled or its claim refused; nothing moves for it any more.
 */
export type ReservationStatus = "HELD" | "REFUSED" | "SOLD" | "FREED" | "CLOSED";

/** Units for one order, each SKU once. */
export interface Reservation {
  readonly order: string;
  readonly status: ReservationStatus;
  readonly lines: readonly Units[];
}

/** A line of which too few units are free. */
export interface Shortage {
  readonly sku: string;
  readonly asked: number;
  readonly available: number;
}

export type ChangeKind = "RECEIVED" | "WRITTEN_OFF" | "RESERVED" | "RELEASED" | "CLAIMED" | "RETURNED" | "POLICY";

/** More of one SKU than this are not booked in; the columns hold about twice as many, so that what was sold can always come back. */
export const onHandMax = 1_000_000_000;

export function available(level: Level | undefined): number {
  return level === undefined ? 0 : level.onHand - level.reserved;
}

/** How many units an order may have: those available, or any number that can be counted where the policy says so. */
function orderable(level: Level | undefined): number {
  return (level?.policy ?? "COUNTED") === "COUNTED" ? available(level) : available(level) + onHandMax;
}

/** An order's lines with each SKU once. */
export function sumBySku(lines: readonly Units[]): Units[] {
  const sums = new Map<string, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  return Array.from(sums, ([sku, quantity]) => ({ sku, quantity }));
}

/** What is missing for these lines, each SKU once; empty when all may be ordered. Shoppers see it: what others are owed makes nothing less than none. */
export function shortages(levels: ReadonlyMap<string, Level>, lines: readonly Units[]): Shortage[] {
  return lines
    .filter(({ sku, quantity }) => quantity > orderable(levels.get(sku)))
    .map(({ sku, quantity }) => ({ sku, asked: quantity, available: Math.max(0, available(levels.get(sku))) }));
}

/** The refusal for an order that cannot be served. */
export function outOfStock(lines: readonly Shortage[]): Error {
  return refuse({
    reason: "OUT_OF_STOCK",
    code: "failed_precondition",
    message: lines.map(({ sku, asked, available: free }) => `${sku}: ${asked} asked for, ${free} available`).join("; "),
    details: { lines },
  });
}

/** The units after a change. The quantity is positive; the kind says which way it goes. */
export function moved(level: Level, kind: ChangeKind, quantity: number): Level {
  switch (kind) {
    case "RECEIVED":
    case "RETURNED":
      return { ...level, onHand: level.onHand + quantity };
    case "WRITTEN_OFF":
      return { ...level, onHand: level.onHand - quantity };
    case "RESERVED":
      return { ...level, reserved: level.reserved + quantity };
    case "RELEASED":
      return { ...level, reserved: level.reserved - quantity };
    case "POLICY":
      return level;
    case "CLAIMED":
      return { ...level, onHand: level.onHand - quantity, reserved: level.reserved - quantity };
  }
}
