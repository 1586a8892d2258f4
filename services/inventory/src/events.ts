import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { isEvent, subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import { ordersEvents } from "./channels.ts";
import { openLedger } from "./ledger-store.ts";
import { saveLedger } from "./save-ledger.ts";
import type { LedgerNeeds } from "./save-ledger.ts";

/** A paid order claims its units; a cancelled one gives them back. A batch is three statements, whatever its size. */
export function inventorySubscription(needs: LedgerNeeds): Subscription {
  return subscription({
    ...ordersEvents,
    // Until then the units stay reserved, so nobody waits for it: more orders share a transaction and the locks of their SKUs.
    pauseMs: 200,
    apply: async (tx, events) => {
      const orders = events.map(({ data }) => data.order!);
      const skus = orders.flatMap(({ lines }) => lines.map(({ sku }) => sku));
      const ledger = await openLedger(
        tx,
        skus,
        orders.map(({ order }) => order),
      );
      for (const event of events) {
        const { order, lines } = event.data.order!;
        if (isEvent(event, OrderPaidSchema)) ledger.claim(order, lines);
        else ledger.cancel(order);
      }
      const callOf = (order: string) =>
        callFor(
          events.findLast(({ data }) => data.order!.order === order)!,
          "inventory",
        );
      return saveLedger(needs, tx, ledger, { call: callFor(events[0]!, "inventory"), callOf }).writes;
    },
  });
}
