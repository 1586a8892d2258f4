import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Reservation, ReserveRequest } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { StoredReservation } from "./stock-ledger.ts";
import { withLedger } from "./ledger-store.ts";
import type { LedgerNeeds } from "./save-ledger.ts";
import { outOfStock } from "./stock.ts";
import { reservationMessage } from "./stock-messages.ts";

type Needs = LedgerNeeds & Pick<ServiceContext, "database">;

/** More would make the transaction, and so the wait of those behind it, long. */
const batchMax = 500;
const batchLinesMax = 5_000;

interface Waiting {
  readonly request: ReserveRequest;
  readonly call: Call;
  readonly resolve: (reservation: StoredReservation) => void;
  readonly reject: (error: unknown) => void;
}

export interface Reserve {
  readonly reserve: (request: ReserveRequest, call: Call) => Promise<Reservation>;
  /** Resolves when no request is waiting or under way. */
  readonly idle: () => Promise<void>;
}

/**
 * Sets units aside for orders. Requests are coalesced: while one batch is in the database, all that come wait and make up the next one, so
 * that a SKU that everybody wants costs one transaction for hundreds of orders. Refuses with OUT_OF_STOCK, also when repeated, and
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
      const reservation = await new Promise<StoredReservation>((resolve, reject) => {
        waiting.push({ request, call, resolve, reject });
        // Started after this turn of the event loop, so that requests which arrived together share the first batch.
        running ??= new Promise<void>((resolve) => setImmediate(resolve)).then(drain);
      });
      return replyTo(reservation);
    },
    idle: async () => running,
  };
}

/** Settles each request of a batch. When it fails, and not by a refusal, its halves are tried, so that one SKU's fault does not reach the orders of others. */
async function settle(needs: Needs, batch: readonly Waiting[]): Promise<void> {
  if (batch.length === 0) return;
  try {
    const decided = await decide(needs, batch);
    for (const { request, resolve } of batch) resolve(decided.get(request.order)!);
  } catch (error) {
    if (batch.length === 1 || refusalIn(error) !== undefined) return batch.forEach(({ reject }) => reject(error));
    const middle = batch.length >> 1;
    await settle(needs, batch.slice(0, middle));
    await settle(needs, batch.slice(middle));
  }
}

async function decide(needs: Needs, batch: readonly Waiting[]): Promise<ReadonlyMap<string, StoredReservation>> {
  const orders = batch.map(({ request }) => request.order);
  const skus = new Set<string>();
  for (const { request } of batch) for (const { sku } of request.lines) skus.add(sku);
  const call = rootCall({ caller: "inventory", timeoutMs: 5_000, ...(batch.length === 1 && { correlation: batch[0]!.call.correlation }) });
  const ledger = await withLedger(needs, { orders, skus, call }, (open) => {
    for (const { request } of batch) open.reserve(request.order, request.lines, timestampDate(request.expiresAt!));
  });
  return ledger.reservations;
}

/** How many of those that wait make up the next batch. */
function batchSize(waiting: readonly Waiting[]): number {
  let size = 0;
  for (let lines = 0; size < waiting.length && size < batchMax && lines < batchLinesMax; size++)
    lines += waiting[size]!.request.lines.length;
  return size;
}

function stillWanted({ call, reject }: Waiting): boolean {
  try {
    call.check();
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}

function replyTo(reservation: StoredReservation): Reservation {
  if (reservation.status === "REFUSED") throw outOfStock(reservation.refusal ?? []);
  if (reservation.status === "FREED" || reservation.status === "CLOSED")
    throw refuse({ reason: "RESERVATION_RELEASED", code: "failed_precondition", message: "The reservation was released" });
  return reservationMessage(reservation);
}
