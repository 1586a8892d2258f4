import { sql } from "@kontor/platform/database/sql.ts";
import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

export const retention: readonly Retention[] = [
  {
    table: "payments",
    rows: "payments",
    stays: "growing",
    why: "one for each order, with its attempts and refunds: accounting needs them for years",
  },
  {
    table: "payments",
    rows: "tombstones of payments that were never opened",
    keptMs: 90 * dayMs,
    after: "the checkout was undone",
    by: { column: "created_at" },
    // The only ones without an order, so that the index by order finds them.
    where: sql`order_id = '' and status = 'VOID'`,
    index: "payments_by_order",
    why: "a late call of a checkout that was undone is refused; the checkout is kept no longer either",
  },
];
