import { sql } from "@kontor/platform/database/sql.ts";
import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

export const retention: readonly Retention[] = [
  { table: "orders", rows: "orders", stays: "growing", why: "what the shop has sold: accounting needs it for years" },
  {
    table: "orders",
    rows: "tombstones of orders that were never placed",
    keptMs: 90 * dayMs,
    after: "the checkout was undone",
    by: { column: "created_at" },
    where: sql`status = 'VOID'`,
    index: "orders_by_status",
    why: "a late call of a checkout that was undone is refused; the checkout is kept no longer either",
  },
];
