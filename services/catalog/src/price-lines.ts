import { create } from "@bufbuild/protobuf";
import { PricedVariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { PricedVariant } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

interface Row {
  readonly sku: string;
  readonly product: string;
  readonly variant: string;
  readonly title: string;
  readonly currency: string;
  readonly price: bigint;
}

/** What can be bought now and at which price, in the order of the SKUs; a SKU that no published product has is left out. */
export async function priceLines(queries: Queries, skus: readonly string[]): Promise<PricedVariant[]> {
  const rows = await queries.rows<Row>(
    sql`select v.sku, v.product, v.id as variant, v.title, v.currency, v.price from variants v join products p on p.id = v.product
      where v.sku = any(${skus}::text[]) and p.status = 'PUBLISHED'`,
  );
  const bySku = new Map(rows.map((row) => [row.sku, row]));
  return skus.flatMap((sku) => {
    const row = bySku.get(sku);
    if (row === undefined) return [];
    const { product, variant, title, currency, price } = row;
    return [create(PricedVariantSchema, { sku, product, variant, title, price: moneyTo({ currency, minor: price }) })];
  });
}
