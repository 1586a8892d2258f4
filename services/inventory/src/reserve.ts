import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Reservation, ReserveRequest } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { BookedReservation } from "./book.ts";
import { withBook } from "./book-store.ts";
import type { BookNeeds } from "./save-book.ts";
import { outOfStock } from "./stock.ts";
import { reservationMessage } from "./stock-messages.ts";

type Needs = BookNeeds & Pick<ServiceContext, "database">;

/** More would make the transaction, and so the wait of those behind it, long. */
const batchMax = 500;
const batchLinesMax = 5_000;

interface Waiting {
  readonly request: ReserveRequest;
  readonly call: Call;
  readonly answer: (reservation: BookedReservation) => void;
  readonly fail: (error: unknown) => void;
}

export interface Reserve {
  readonly reserve: (request: ReserveRequest, call: Call) => Promise<Reservation>;
  /** Resolves when no request is waiting or under way. */
  readonly idle: () => Promise<void>;
}

/**
 * Sets units aside for orders. Requests are coalesced: while one batch is in the database, all that come wait and make up the next one, so
 * that a SKU which everybody wants costs one transaction for hundreds of orders. Refuses with OUT_OF_STOCK, also when asked again, and
 * with RESERVATION_RELEASED after a release.
 */
export function createReserve(needs: Needs): Reserve {
  let waiting: Waiting[] = [];
  let running: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const size = batchSize(waiting);
      const batch = waiting.slice(0, size);
      waiting = waiting.slice(size);
      await settle(needs, batch.filter(stillWanted));
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

/** Answers each of a batch. When it breaks and not because the database is away, its halves are tried, so that one SKU's fault is not another's. */
async function settle(needs: Needs, batch: readonly Waiting[]): Promise<void> {
  if (batch.length === 0) return;
  try {
    const decided = await decide(needs, batch);
    for (const { request, answer } of batch) answer(decided.get(request.order)!);
  } catch (error) {
    if (batch.length === 1 || refusalIn(error) !== undefined) return batch.forEach(({ fail }) => fail(error));
    const middle = batch.length >> 1;
    await settle(needs, batch.slice(0, middle));
    await settle(needs, batch.slice(middle));
  }
}

async function decide(needs: Needs, batch: readonly Waiting[]): Promise<ReadonlyMap<string, BookedReservation>> {
  const orders = batch.map(({ request }) => request.order);
  const skus = new Set<string>();
  for (const { request } of batch) for (const { sku } of request.lines) skus.add(sku);
  const call = rootCall({ caller: "inventory", timeoutMs: 5_000, ...(batch.length === 1 && { correlation: batch[0]!.call.correlation }) });
  const book = await withBook(needs, { orders, skus, call }, (open) => {
    for (const { request } of batch) open.reserve(request.order, request.lines, timestampDate(request.expiresAt!));
  });
  return book.reservations;
}

/** How many of those that wait make up the next batch. */
function batchSize(waiting: readonly Waiting[]): number {
  let size = 0;
  for (let lines = 0; size < waiting.length && size < batchMax && lines < batchLinesMax; size++)
    lines += waiting[size]!.request.lines.length;
  return size;
}

function stillWanted({ call, fail }: Waiting): boolean {
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
  if (reservation.status === "FREED" || reservation.status === "CLOSED")
    throw refuse({ reason: "RESERVATION_RELEASED", code: "failed_precondition", message: "The reservation was released" });
  return reservationMessage(reservation);
}
