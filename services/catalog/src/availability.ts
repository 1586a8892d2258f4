import { clone } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { StockClaimedSchema, StockMovedSchema, StockReleasedSchema, StockReservedSchema } from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";

/** Keeps the copy of inventory's figures: of each SKU the newest. `changed` hears of the products concerned, after the commit. */
export function availabilitySubscription(changed: (products: readonly string[]) => void): Subscription {
  return subscription({
    name: "catalog.availability",
    publisher: "inventory",
    schemas: [StockMovedSchema, StockReservedSchema, StockReleasedSchema, StockClaimedSchema],
    apply: async (tx, events) => {
      const newest = new Map<string, { available: number; version: number }>();
      for (const { data } of events) {
        const { sku, available, version } = data.stock!;
        if (version > (newest.get(sku)?.version ?? 0)) newest.set(sku, { available, version });
      }
      const skus = [...newest.keys()].toSorted();
      const products = await tx.rows<{ product: string }>(sql`
        with copied as (
          insert into availability (sku, available, version)
          select * from unnest(${skus}::text[], ${skus.map((sku) => newest.get(sku)!.available)}::int[], ${skus.map((sku) => newest.get(sku)!.version)}::int[])
          on conflict (sku) do update set available = excluded.available, version = excluded.version where availability.version < excluded.version
        )
        select distinct product from variants where sku = any(${skus}::text[])`);
      tx.afterCommit(() => changed(products.map(({ product }) => product)));
    },
  });
}

/** The products with what can be ordered of each variant; absent where inventory has said nothing. */
export async function withAvailability(queries: Queries, products: readonly Product[]): Promise<Product[]> {
  if (products.length === 0) return [];
  const skus = products.flatMap(({ variants }) => variants.map(({ sku }) => sku));
  const rows = await queries.rows<{ sku: string; available: number }>(sql`select sku, available from availability where sku = any(${skus}::text[])`);
  const bySku = new Map(rows.map(({ sku, available }) => [sku, available]));
  return products.map((product) => {
    const copy = clone(ProductSchema, product);
    for (const variant of copy.variants) {
      const available = bySku.get(variant.sku);
      if (available !== undefined) variant.available = available;
    }
    return copy;
  });
}
