import { create } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { ReservationSchema, ReservationStatus } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Reservation, ReserveRequest } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import type { BookedReservation } from "./book.ts";
import { BookOutdated, openBook, saveBook } from "./book-store.ts";
import { outOfStock } from "./stock.ts";

type Needs = Pick<Surroundings, "database" | "events" | "ids" | "clock">;

/** More would make the transaction, and so the wait of those behind it, long. */
const batchMax = 500;
const triesMax = 5;

interface Waiting {
  readonly request: ReserveRequest;
  readonly call: Call;
  readonly answer: (reservation: BookedReservation) => void;
  readonly fail: (error: unknown) => void;
}

/**
 * Sets units aside for orders. Requests are coalesced: while one batch is in the database, all that come wait and make up the next one, so
 * that a SKU which everybody wants costs one transaction for hundreds of orders. Refuses with OUT_OF_STOCK, also when asked again, and
 * with RESERVATION_RELEASED after a release.
 */
export function createReserve(needs: Needs): { reserve: (request: ReserveRequest, call: Call) => Promise<Reservation>; idle: () => Promise<void> } {
  const waiting: Waiting[] = [];
  let running: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, batchMax).filter(({ call, fail }) => stillWanted(call, fail));
      if (batch.length === 0) continue;
      try {
        const decided = await decide(needs, batch);
        for (const { request, answer } of batch) answer(decided.get(request.order)!);
      } catch (error) {
        for (const { fail } of batch) fail(error);
      }
    }
    running = undefined;
  };
  return {
    reserve: async (request, call) => {
      const reservation = await new Promise<BookedReservation>((answer, fail) => {
        waiting.push({ request, call, answer, fail });
        // Started after this turn of the event loop, so that requests which arrived together share the first batch.
        running ??= new Promise<void>((resolve) => setImmediate(resolve)).then(drain);
      });
      return replyTo(reservation);
    },
    idle: async () => running,
  };
}

async function decide(needs: Needs, batch: readonly Waiting[]): Promise<ReadonlyMap<string, BookedReservation>> {
  const skus = new Set(batch.flatMap(({ request }) => request.lines.map(({ sku }) => sku)));
  const orders = batch.map(({ request }) => request.order);
  const call = rootCall({ caller: "inventory", timeoutMs: 5_000, ...(batch.length === 1 && { correlation: batch[0]!.call.correlation }) });
  for (let tries = 1; ; tries++) {
    try {
      return await needs.database.transaction(async (tx) => {
        const book = await openBook(tx, skus, orders);
        for (const { request } of batch) book.reserve(request.order, request.lines, timestampDate(request.expiresAt!));
        await saveBook(needs, tx, book, { call, at: needs.clock.now() });
        return book.reservations;
      });
    } catch (error) {
      if (!(error instanceof BookOutdated) || tries === triesMax) throw error;
    }
  }
}

function stillWanted(call: Call, fail: (error: unknown) => void): boolean {
  try {
    call.check();
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}

function replyTo(reservation: BookedReservation): Reservation {
  if (reservation.status === "REFUSED") throw outOfStock(reservation.refusal ?? []);
  if (reservation.status === "FREED")
    throw refuse({ reason: "RESERVATION_RELEASED", code: "failed_precondition", message: "The reservation was released" });
  return reservationMessage(reservation);
}

export function reservationMessage({ order, status, lines, expiresAt }: BookedReservation): Reservation {
  return create(ReservationSchema, { order, status: ReservationStatus[status], lines: [...lines], expiresAt: timestampFromDate(expiresAt) });
}
