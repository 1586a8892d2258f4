import { sql } from "@kontor/platform/database/sql.ts";
import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

/** For how long an ended checkout can be read. `kontor verify` knows that older orders may have none. */
export const checkoutKeptMs = 90 * dayMs;

export const retention: readonly Retention[] = [
  {
    table: "sagas",
    rows: "ended checkouts",
    keptMs: checkoutKeptMs,
    after: "it began",
    by: { column: "id", idPrefix: "chk" },
    where: sql`status in ('DONE', 'REFUSED', 'JOINED')`,
    index: "sagas_pkey",
    why: "its shopper reads how it ended, and its key gets the same response for at least 24 hours; the order itself stays",
  },
  { table: "sagas", rows: "checkouts under way", stays: "bounded", why: "each ends, and `SAGA_STUCK` is raised for one that does not" },
];
