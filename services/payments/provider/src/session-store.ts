import { moneyTo } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";

export type SessionStatus = "open" | "processing" | "succeeded" | "declined" | "closed";

/** A session as it is stored. A tombstone has no page and no amount. */
export interface SessionRow {
  readonly key: string;
  readonly page: string | null;
  readonly reference: string;
  readonly status: SessionStatus;
  readonly currency: string | null;
  readonly amount: bigint | null;
  readonly returnUrl: string;
  readonly declineCode: string;
}

/** A session as the merchant sees it. */
export interface SessionJson {
  readonly key: string;
  readonly reference: string;
  readonly status: SessionStatus;
  readonly url: string;
  readonly amount: { readonly currency: string; readonly amount: string };
  readonly declineCode: string;
}

export function sessionJson(session: SessionRow, publicUrl: string): SessionJson {
  const { key, reference, status, page, declineCode } = session;
  return { key, reference, status, url: page === null ? "" : pageUrl(page, publicUrl), amount: moneyTo(amountOf(session)), declineCode };
}

/** The address of the page on which a session is paid. */
export function pageUrl(page: string, publicUrl: string): string {
  return `${publicUrl}/pay/${page}`;
}

export function amountOf({ currency, amount }: Pick<SessionRow, "currency" | "amount">): Money {
  // A tombstone has none, and the contract has no way to say so.
  return currency === null || amount === null ? { currency: "EUR", minor: 0n } : { currency, minor: amount };
}

/** A session's columns, also for statements of others that join it as `s`. */
export const sessionColumns = sql`s.key, s.page, s.reference, s.status, s.currency, s.amount, s.return_url as "returnUrl", s.decline_code as "declineCode"`;

export interface NewSession {
  readonly key: string;
  readonly page: string;
  readonly amount: Money;
  readonly reference: string;
  readonly returnUrl: string;
  readonly at: Date;
}

/** Stores a new session. Gives false when the key is taken. */
export async function insertSession(queries: Queries, { key, page, amount, reference, returnUrl, at }: NewSession): Promise<boolean> {
  const inserted = await queries.run(sql`
    insert into sessions (key, page, reference, status, currency, amount, return_url, decline_code, created_at, updated_at)
    values (${key}, ${page}, ${reference}, 'open', ${amount.currency}, ${amount.minor}, ${returnUrl}, '', ${at}, ${at}) on conflict (key) do nothing`);
  return inserted === 1;
}

export function findSession(queries: Queries, key: string): Promise<SessionRow | undefined> {
  return queries.maybe<SessionRow>(sql`select ${sessionColumns} from sessions s where key = ${key}`);
}

export function findSessionByPage(queries: Queries, page: string): Promise<SessionRow | undefined> {
  return queries.maybe<SessionRow>(sql`select ${sessionColumns} from sessions s where page = ${page}`);
}

/** Closes a session that is open, or that never was. Gives it, or undefined when it was no longer open. */
export function closeOpenSession(queries: Queries, key: string, at: Date): Promise<SessionRow | undefined> {
  return queries.maybe<SessionRow>(sql`
    insert into sessions as s (key, reference, status, return_url, decline_code, created_at, updated_at)
    values (${key}, '', 'closed', '', '', ${at}, ${at})
    on conflict (key) do update set status = 'closed', updated_at = excluded.updated_at where s.status = 'open'
    returning ${sessionColumns}`);
}

/** Which session is decided: the open one of a page, or one that has been processing. */
export type Undecided = { readonly page: string } | { readonly processing: string };

export interface Decision {
  readonly status: "succeeded" | "declined" | "processing";
  readonly declineCode: string;
  /** When the card is known. */
  readonly last4?: string;
  /** For one that goes on processing. */
  readonly settles?: { readonly at: Date; readonly to: "succeeded" | "declined" };
  readonly chargeId: string;
  readonly webhook: { readonly id: string; readonly times: number };
  readonly at: Date;
}

/**
 * Decides a session, with its charge and its webhook, in one statement. Gives the session as it then is, or undefined when there is no such
 * session, or another request has decided it.
 */
export function decideSession(queries: Queries, which: Undecided, decision: Decision): Promise<SessionRow | undefined> {
  const { status, declineCode, settles, chargeId, webhook, at } = decision;
  const found: Sql =
    "page" in which ? sql`page = ${which.page} and status = 'open'` : sql`key = ${which.processing} and status = 'processing'`;
  return queries.maybe<SessionRow>(sql`
    with decided as (
      update sessions s set status = ${status}, decline_code = ${declineCode}, card_last4 = coalesce(${decision.last4}, card_last4),
        settles_at = ${settles?.at}, settles_to = ${settles?.to}, updated_at = ${at}
      where ${found} returning ${sessionColumns}
    ), charged as (
      insert into charges (id, session_key, reference, currency, amount, refunded, at)
      select ${chargeId}, key, reference, currency, amount, 0, ${at}::timestamptz from decided where status = 'succeeded'
    ), webhook as (
      insert into webhooks (id, session_key, type, times, at, due_at)
      select ${webhook.id}, key, 'session.' || status, ${webhook.times}::int, ${at}::timestamptz, ${webhook.times > 0 ? at : null}::timestamptz
      from decided where status <> 'processing'
    )
    select * from decided`);
}

export interface Settling {
  readonly key: string;
  readonly at: Date;
  readonly to: "succeeded" | "declined";
}

/** The sessions whose processing ends at some time, the earliest first. */
export function settlingSessions(queries: Queries, limit: number): Promise<Settling[]> {
  return queries.rows<Settling>(
    sql`select key, settles_at as at, settles_to as "to" from sessions where settles_at is not null order by settles_at limit ${limit}`,
  );
}
