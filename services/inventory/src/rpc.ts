import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { pageSize } from "@kontor/platform/database/cursor.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { keyed } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { createMovement, importStock } from "./create-movement.ts";
import { readReservations } from "./ledger-store.ts";
import { release } from "./release.ts";
import type { LedgerNeeds } from "./save-ledger.ts";
import type { Reserve } from "./reserve.ts";
import type { StockCounts } from "./stock-counts.ts";
import { reservationMessage } from "./stock-messages.ts";
import { movementsOf, stockLevels } from "./stock-queries.ts";

type Needs = LedgerNeeds & Pick<ServiceContext, "database"> & Pick<Reserve, "reserve"> & { readonly counts: StockCounts };

export function inventoryRoute(needs: Needs): Route {
  const { database, reserve, counts } = needs;
  const free = release(needs);
  /** The reply follows when every process reads the new counts. */
  const beforeReply = () => counts.written();
  return implement(InventoryService, {
    listStock: async (request) => {
      const skus = [...new Set(request.sku)].toSorted();
      const onePage = skus.length > 0 && skus.length <= pageSize(request.limit) && request.cursor === "";
      return onePage ? { items: await counts.read(skus) } : stockLevels(database, request, skus);
    },
    createMovement: keyed((request, call, tx) => createMovement(needs, tx, request, call), { beforeReply }),
    listMovements: (request) => movementsOf(database, request, request.sku),
    reserve,
    release: async (request, call) => {
      await free(request.order, call);
      return {};
    },
    getReservation: async (request) => {
      const [reservation] = await readReservations(database, [request.order]);
      if (reservation === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such reservation" });
      return reservationMessage(reservation);
    },
    importStock: keyed((request, call, tx) => importStock(needs, tx, request, call), { beforeReply }),
  });
}
