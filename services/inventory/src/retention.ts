import { sql } from "@kontor/platform/database/sql.ts";
import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

export const retention: readonly Retention[] = [
  { table: "stock", rows: "stock levels", stays: "growing", why: "one for each SKU" },
  { table: "movements", rows: "movements", stays: "growing", why: "the ledger: what is on hand is their sum" },
  {
    table: "reservations",
    rows: "refused and released reservations, and tombstones",
    keptMs: 90 * dayMs,
    after: "it ended",
    by: { column: "updated_at" },
    where: sql`status in ('REFUSED', 'FREED', 'CLOSED')`,
    index: "reservations_ended",
    why: "a late or repeated call gets the same response; nothing calls so late",
  },
  {
    table: "reservations",
    rows: "sold reservations",
    stays: "growing",
    why: "one for each paid order: what a cancellation returns, and what `kontor verify` compares with the order",
  },
  { table: "reservations", rows: "held reservations", stays: "bounded", why: "each expires, and is released within seconds" },
];
