import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import { stockEvents } from "./channels.ts";

/** Updates the copy of inventory's figures: of each SKU the newest. `changed` gets the products concerned, after the commit. */
export function availabilitySubscription(changed: (products: readonly Pick<Product, "id" | "handle">[]) => void): Subscription {
  return subscription({
    ...stockEvents,
    // The copy may be two seconds old. Of a product that many order, each batch writes one figure and clears the caches once.
    pauseMs: 1_000,
    apply: async (tx, events) => {
      const newest = new Map<string, { available: number; version: number; counted: boolean }>();
      for (const { data } of events) {
        const { sku, available, version, policy } = data.stock!;
        // Events of older versions name no policy: all was counted.
        const counted = policy === StockPolicy.COUNTED || policy === StockPolicy.STOCK_POLICY_UNSPECIFIED;
        if (version > (newest.get(sku)?.version ?? 0)) newest.set(sku, { available, version, counted });
      }
      const skus = [...newest.keys()].toSorted();
      const products = await tx.rows<{ id: string; handle: string }>(sql`
        with copied as (
          insert into availability (sku, available, version, counted)
          select * from unnest(${skus}::text[], ${skus.map((sku) => newest.get(sku)!.available)}::int[], ${skus.map((sku) => newest.get(sku)!.version)}::int[],
            ${skus.map((sku) => newest.get(sku)!.counted)}::boolean[])
          on conflict (sku) do update set available = excluded.available, version = excluded.version, counted = excluded.counted
          where availability.version < excluded.version
          returning sku
        )
        select distinct p.id, p.handle from copied join variants v on v.sku = copied.sku join products p on p.id = v.product`);
      if (products.length > 0) tx.afterCommit(() => changed(products));
    },
  });
}
