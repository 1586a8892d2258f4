import { dayMs, hourMs } from "@kontor/platform/retention/retention.ts";
import type { Retention } from "@kontor/platform/retention/retention.ts";

/** How long a sign-in lasts, from when it began. */
export const sessionLifeMs = 30 * dayMs;

export const retention: readonly Retention[] = [
  { table: "accounts", rows: "accounts", stays: "growing", why: "one for each customer" },
  {
    table: "registrations",
    rows: "registrations that were not verified",
    keptMs: 0,
    after: "it expires, a day after its last mail",
    by: { column: "expires_at" },
    index: "registrations_by_expiry",
    why: "another code may be asked for until then; one that is verified goes at once",
  },
  {
    table: "mailed_addresses",
    rows: "digests of addresses that got a mail",
    keptMs: hourMs,
    after: "the mail was asked for",
    by: { column: "mailed_at" },
    index: "mailed_addresses_by_time",
    why: "an address gets one such mail a minute",
  },
  {
    table: "password_resets",
    rows: "links to choose another password",
    keptMs: 0,
    after: "it expires, an hour after it was mailed",
    by: { column: "expires_at" },
    index: "password_resets_by_expiry",
    why: "one that is used goes at once",
  },
  {
    table: "verifications",
    rows: "mailed codes",
    keptMs: 7 * dayMs,
    after: "it was requested",
    by: { column: "id", idPrefix: "vrf" },
    index: "verifications_pkey",
    why: "a code is valid for ten minutes; the rest is for the question where a mail is",
  },
  {
    table: "sessions",
    rows: "sign-ins that have expired",
    keptMs: sessionLifeMs,
    after: "it began",
    by: { column: "id", idPrefix: "ses" },
    index: "sessions_pkey",
    why: "a sign-in lasts 30 days, and its refresh tokens with it; one that is ended goes at once",
  },
  { table: "signing_keys", rows: "keys of access tokens", stays: "bounded", why: "one for each key that was ever made" },
];
