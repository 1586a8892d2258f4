import { dayMs } from "../retention/retention.ts";
import type { Retention } from "../retention/retention.ts";

/** What becomes of the mail catcher's rows. */
export const mailboxRetention: readonly Retention[] = [
  {
    table: "mails",
    rows: "mails",
    keptMs: 30 * dayMs,
    after: "it came",
    by: { column: "received_at" },
    index: "mails_by_age",
    why: "it takes the place of a mail server during development; its page can empty it at any time",
  },
  { table: "migrations", rows: "applied migrations", stays: "bounded", why: "one for each file" },
];
