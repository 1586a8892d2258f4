import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { MovementKind, MovementSchema } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Movement, Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import type { Level } from "./stock.ts";
import { stockMessage } from "./stock-messages.ts";

/** Stock by SKU: after one, or only these. */
export async function stockLevels(queries: Queries, filter: { after: string; skus: readonly string[]; limit: number }): Promise<Stock[]> {
  const conditions: Sql[] = [sql`sku > ${filter.after}`];
  if (filter.skus.length > 0) conditions.push(sql`sku = any(${filter.skus}::text[])`);
  const rows = await queries.rows<Level & { updatedAt: Date }>(
    sql`select sku, on_hand as "onHand", reserved, version, updated_at as "updatedAt" from stock
      where ${sql.join(conditions, sql` and `)} order by sku limit ${filter.limit}`,
  );
  return rows.map((row) => stockMessage(row, row.updatedAt));
}

/** A SKU's movements, newest first: those before one of them, when it is named. */
export async function movementsOf(
  queries: Queries,
  filter: { sku: string; before: string | undefined; limit: number },
): Promise<Movement[]> {
  const older = filter.before === undefined ? sql`true` : sql`(at, id) < (select at, id from movements where id = ${filter.before})`;
  const rows = await queries.rows<
    Pick<Movement, "id" | "sku" | "quantity" | "note" | "order" | "actor"> & { kind: keyof typeof MovementKind; at: Date }
  >(
    sql`select id, sku, kind, quantity, note, order_id as "order", actor, at from movements where sku = ${filter.sku} and ${older}
      order by at desc, id desc limit ${filter.limit}`,
  );
  return rows.map((row) => create(MovementSchema, { ...row, kind: MovementKind[row.kind], at: timestampFromDate(row.at) }));
}
