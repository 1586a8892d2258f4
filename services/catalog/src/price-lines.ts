import { create } from "@bufbuild/protobuf";
import { PricedVariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { PricedVariant } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { createBatch } from "@kontor/platform/batch/batch.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { orderable } from "./product-queries.ts";

interface Row {
  readonly sku: string;
  readonly product: string;
  readonly variant: string;
  readonly title: string;
  readonly currency: string;
  readonly price: bigint;
  readonly available: number | null;
}

export type PriceLines = (skus: readonly string[], call: Call) => Promise<PricedVariant[]>;

/**
 * What can be bought now and at which price, in the order of the SKUs; a SKU that no published product has is left out. All who ask at the same time
 * share a statement.
 */
export function createPriceLines(queries: Queries): PriceLines {
  const batch = createBatch<readonly string[], PricedVariant[]>({
    name: "catalog.price",
    sizeOf: (skus) => skus.length,
    execute: async (items) => {
      const variants = await readVariants(queries, [...new Set(items.flatMap(({ request }) => request))]);
      return items.map(({ request }) => request.flatMap((sku) => variants.get(sku) ?? []));
    },
  });
  return (skus, call) => batch.run(skus, call);
}

async function readVariants(queries: Queries, skus: readonly string[]): Promise<Map<string, PricedVariant>> {
  const rows = await queries.rows<Row>(
    sql`select v.sku, v.product, v.id as variant, v.title, v.currency, v.price, a.available
      from variants v join products p on p.id = v.product left join availability a on a.sku = v.sku and a.counted
      where v.sku = any(${skus}::text[]) and p.status = 'PUBLISHED'`,
  );
  return new Map(
    rows.map(({ sku, product, variant, title, currency, price, available }) => {
      const priced = create(PricedVariantSchema, { sku, product, variant, title, price: moneyTo({ currency, minor: price }) });
      if (available !== null) priced.available = orderable(available);
      return [sku, priced];
    }),
  );
}
