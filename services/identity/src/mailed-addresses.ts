import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { emailDigest } from "./account-store.ts";

/** Between two mails to one address that people who are not signed in asked for. */
export const cooldownMs = 60_000;

export type TooSoon = "VERIFICATION_TOO_SOON" | "RESET_TOO_SOON";

/** Refuses while the address must not get another mail, so that nothing that costs more is done for a request that would be refused. */
export async function expectMailable(queries: Queries, key: EmailKey, at: Date, reason: TooSoon): Promise<void> {
  const mailed = await queries.maybe<{ at: Date }>(
    sql`select mailed_at as at from mailed_addresses where email_digest = ${emailDigest(key)}`,
  );
  if (mailed !== undefined) refuseWithin(mailed.at, at, reason);
}

/**
 * Takes the address's next mail for this transaction: of several at the same time one gets it, whatever they are for. Refuses within a minute of the
 * one before. Whether the address has an account plays no part.
 */
export async function takeMail(tx: Transaction, key: EmailKey, at: Date, reason: TooSoon): Promise<void> {
  const digest = emailDigest(key);
  const before = new Date(at.getTime() - cooldownMs);
  const taken = await tx.run(sql`insert into mailed_addresses as m (email_digest, mailed_at) values (${digest}, ${at})
    on conflict (email_digest) do update set mailed_at = excluded.mailed_at where m.mailed_at <= ${before}`);
  if (taken === 1) return;
  const mailed = await tx.one<{ at: Date }>(sql`select mailed_at as at from mailed_addresses where email_digest = ${digest}`);
  refuseWithin(mailed.at, at, reason);
  throw new Error("a mail to an address was neither taken nor sent a moment ago");
}

function refuseWithin(mailedAt: Date, at: Date, reason: TooSoon): void {
  const waitMs = mailedAt.getTime() + cooldownMs - at.getTime();
  if (waitMs <= 0) return;
  throw refuse({ reason, code: "resource_exhausted", message: "A mail was sent less than a minute ago", retryAfterMs: waitMs });
}
