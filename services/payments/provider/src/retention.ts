import { sql } from "@kontor/platform/database/sql.ts";
import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

/** What becomes of the provider's own rows. */
export const providerRetention: readonly Retention[] = [
  {
    table: "sessions",
    rows: "sessions that were not paid",
    keptMs: 90 * dayMs,
    after: "it was opened",
    by: { column: "created_at" },
    where: sql`status in ('open', 'declined', 'closed')`,
    index: "sessions_unpaid",
    why: "the merchant closes what nobody has paid within a day or so",
  },
  { table: "sessions", rows: "paid sessions", stays: "growing", why: "one for each charge, which is refunded through it" },
  { table: "charges", rows: "charges", stays: "growing", why: "the ledger of money" },
  { table: "refunds", rows: "refunds", stays: "growing", why: "the ledger of money" },
  {
    table: "webhooks",
    rows: "webhooks that are not sent any more",
    keptMs: 30 * dayMs,
    after: "it happened",
    by: { column: "id", idPrefix: "evt" },
    where: sql`due_at is null`,
    index: "webhooks_pkey",
    why: "for the question whether the merchant was told; the last attempt is made within two days",
  },
  { table: "webhooks", rows: "webhooks to be sent", stays: "bounded", why: "each is delivered, or given up after ten attempts" },
  { table: "migrations", rows: "applied migrations", stays: "bounded", why: "one for each file" },
];
