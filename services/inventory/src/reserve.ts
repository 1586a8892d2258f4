import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Reservation, ReserveRequest } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { createBatch } from "@kontor/platform/batch/batch.ts";
import type { BatchItem } from "@kontor/platform/batch/batch.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { StoredReservation } from "./stock-ledger.ts";
import { withLedger } from "./ledger-store.ts";
import type { LedgerNeeds } from "./save-ledger.ts";
import type { HolderIds } from "./holdings.ts";
import type { InventorySettings } from "./settings.ts";
import { outOfStock } from "./stock.ts";
import { reservationMessage } from "./stock-messages.ts";

type Needs = LedgerNeeds & Pick<ServiceContext<InventorySettings>, "database" | "settings">;

export interface Reserve {
  readonly reserve: (request: ReserveRequest, call: Call) => Promise<Reservation>;
  /** Resolves when no request is waiting or under way. */
  readonly idle: () => Promise<void>;
}

/**
 * Sets units aside for orders, in batches: a SKU that everybody wants costs one transaction for hundreds of orders. Refuses with OUT_OF_STOCK, also
 * when repeated, with RESERVATION_RELEASED after a release, and with TOO_MANY_OPEN_ORDERS when the caller's account or address holds too much
 * unpaid. Requests of several batches at the same time may pass that limit together, by as many batches as are under way.
 */
export function createReserve(needs: Needs): Reserve {
  const batch = createBatch<ReserveRequest, StoredReservation>({
    name: "inventory.reserve",
    sizeOf: ({ lines }) => lines.length,
    execute: async (items) => {
      const { reservations, refusals } = await decide(needs, items);
      return items.map(({ request: { order } }) => reservations.get(order) ?? refusals.get(order)!);
    },
  });
  return {
    reserve: async (request, call) => replyTo(await batch.run(request, call)),
    idle: () => batch.idle(),
  };
}

interface Decided {
  readonly reservations: ReadonlyMap<string, StoredReservation>;
  /** The orders whose holders hold too much. Nothing is stored of them. */
  readonly refusals: ReadonlyMap<string, Error>;
}

async function decide(needs: Needs, items: readonly BatchItem<ReserveRequest>[]): Promise<Decided> {
  const orders = items.map(({ request }) => request.order);
  const skus = new Set<string>();
  for (const { request } of items) for (const { sku } of request.lines) skus.add(sku);
  const call = rootCall({ caller: "inventory", timeoutMs: 5_000, ...(items.length === 1 && { correlation: items[0]!.call.correlation }) });
  const holders = items.map((item) => holderOf(item.call));
  const refusals = new Map<string, Error>();
  const ledger = await withLedger(needs, { orders, skus, call, holders, limits: needs.settings }, (open) => {
    refusals.clear();
    for (const [at, { request }] of items.entries()) {
      const { order, lines, expiresAt } = request;
      const refusal = open.refusalOf(order, lines, holders[at]!);
      if (refusal === undefined) open.reserve(order, lines, timestampDate(expiresAt!), holders[at]);
      else refusals.set(order, refusal);
    }
  });
  return { reservations: ledger.reservations, refusals };
}

function holderOf({ user, origin }: Call): HolderIds {
  return { account: user?.id, origin };
}

function replyTo(reservation: StoredReservation): Reservation {
  if (reservation.status === "REFUSED") throw outOfStock(reservation.refusal ?? []);
  if (reservation.status === "FREED" || reservation.status === "CLOSED")
    throw refuse({ reason: "RESERVATION_RELEASED", code: "failed_precondition", message: "The reservation was released" });
  return reservationMessage(reservation);
}
