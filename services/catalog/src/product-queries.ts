import { fromBinary } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Reads } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

/** A product's state with the figures of its variants' stock. */
export interface ProductRow {
  readonly state: Uint8Array;
  readonly stock: Readonly<Record<string, number>> | null;
}

/** The columns of a `ProductRow`, of the product `p`. */
export const productColumns = sql`p.state,
  (select jsonb_object_agg(a.sku, a.available) from variants v join availability a on a.sku = v.sku and a.counted where v.product = p.id) as stock`;

/** How many of the units that are available can be ordered: none where more is promised than there is. */
export function orderable(available: number): number {
  return Math.max(0, available);
}

/** A product with what can be ordered of each variant; absent where inventory has said nothing, or sets no limit. */
export function productOf({ state, stock }: ProductRow): Product {
  const product = fromBinary(ProductSchema, state);
  if (stock !== null)
    for (const variant of product.variants) {
      // A SKU may be called as one of every object's own properties is.
      const available = Object.hasOwn(stock, variant.sku) ? stock[variant.sku] : undefined;
      if (available !== undefined) variant.available = orderable(available);
    }
  return product;
}

/** By id or handle. */
export async function findProduct(queries: Reads, idOrHandle: string): Promise<Product | undefined> {
  const row = await queries.maybe<ProductRow>(
    idOrHandle.startsWith("prd_")
      ? sql`select ${productColumns} from products p where p.id = ${idOrHandle}`
      : sql`select ${productColumns} from products p where p.handle = ${idOrHandle}`,
  );
  return row && productOf(row);
}

/** In the order of the ids; one that is not there is left out. */
export async function readProducts(queries: Reads, ids: readonly string[]): Promise<Product[]> {
  if (ids.length === 0) return [];
  const rows = await queries.rows<ProductRow>(sql`select ${productColumns} from products p where p.id = any(${ids}::text[])`);
  const byId = new Map(rows.map(productOf).map((product) => [product.id, product]));
  return ids.flatMap((id) => byId.get(id) ?? []);
}

/** Those of the ids that are there. */
export async function existingProducts(queries: Reads, ids: readonly string[]): Promise<Set<string>> {
  const rows = await queries.rows<{ id: string }>(sql`select id from products where id = any(${ids}::text[])`);
  return new Set(rows.map(({ id }) => id));
}
