import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { MovementKind, MovementSchema } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Movement, Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readPage } from "@kontor/platform/database/cursor.ts";
import type { Page, PageRequest } from "@kontor/platform/database/cursor.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import type { Level } from "./stock.ts";
import { stockMessage } from "./stock-messages.ts";

/** A page of the stock by SKU, of these SKUs when there are any. Refuses with INVALID_CURSOR. */
export function stockLevels(queries: Queries, request: PageRequest, skus: readonly string[]): Promise<Page<Stock>> {
  return readPage(request, {
    sortedBy: ["text"],
    valuesOf: ({ sku }) => [sku],
    async read(after, limit) {
      const conditions: Sql[] = [sql`sku > ${after?.[0] ?? ""}`];
      if (skus.length > 0) conditions.push(sql`sku = any(${skus}::text[])`);
      const rows = await queries.rows<Level & { updatedAt: Date }>(
        sql`select sku, on_hand as "onHand", reserved, version, policy, updated_at as "updatedAt" from stock
          where ${sql.join(conditions, sql` and `)} order by sku limit ${limit}`,
      );
      return rows.map((row) => stockMessage(row, row.updatedAt));
    },
  });
}

type MovementRow = Pick<Movement, "id" | "sku" | "quantity" | "note" | "order" | "actor"> & {
  readonly kind: keyof typeof MovementKind;
  readonly at: Date;
};

/** A page of a SKU's movements, newest first. Refuses with INVALID_CURSOR. */
export function movementsOf(queries: Queries, request: PageRequest, sku: string): Promise<Page<Movement>> {
  return readPage(request, {
    sortedBy: ["text"],
    valuesOf: ({ id }) => [id],
    async read(before, limit) {
      const older = before === undefined ? sql`true` : sql`(at, id) < (select at, id from movements where id = ${before[0]})`;
      const rows = await queries.rows<MovementRow>(
        sql`select id, sku, kind, quantity, note, order_id as "order", actor, at from movements where sku = ${sku} and ${older}
          order by at desc, id desc limit ${limit}`,
      );
      return rows.map((row) => create(MovementSchema, { ...row, kind: MovementKind[row.kind], at: timestampFromDate(row.at) }));
    },
  });
}
