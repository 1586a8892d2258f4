import { dayMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

/** For how long a customer sees what was sent. `kontor verify` knows that older orders may have no confirmation. */
export const notificationKeptMs = 180 * dayMs;

export const retention: readonly Retention[] = [
  {
    table: "notifications",
    rows: "messages to customers",
    keptMs: notificationKeptMs,
    after: "it was recorded",
    by: { column: "id", idPrefix: "ntf" },
    index: "notifications_pkey",
    why: "customers and support look up what was sent; the mail itself is the customer's",
  },
];
