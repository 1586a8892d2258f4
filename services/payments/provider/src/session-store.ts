import { moneyTo } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

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

const decidedColumns = sql`key, page, reference, status, currency, amount, "returnUrl", "declineCode"`;

type Rows = Pick<Queries, "rows">;

export interface NewSession {
  readonly key: string;
  readonly page: string;
  readonly amount: Money;
  readonly reference: string;
  readonly returnUrl: string;
  readonly at: Date;
}

/** Stores new sessions whose keys are not taken; of two with the same key, one. Gives the pages of those that it has stored. In the order of their keys, so that two batches cannot wait for each other. */
export async function insertSessions(queries: Rows, sessions: readonly NewSession[]): Promise<ReadonlySet<string>> {
  const rows = await queries.rows<{ page: string }>(sql`
    insert into sessions (key, page, reference, status, currency, amount, iso_4217, return_url, decline_code, created_at, updated_at)
    select key, page, reference, 'open', currency, amount, true, return_url, '', at, at
    from unnest(${sessions.map(({ key }) => key)}::text[], ${sessions.map(({ page }) => page)}::text[],
      ${sessions.map(({ reference }) => reference)}::text[], ${sessions.map(({ amount }) => amount.currency)}::text[],
      ${sessions.map(({ amount }) => amount.minor)}::bigint[], ${sessions.map(({ returnUrl }) => returnUrl)}::text[],
      ${sessions.map(({ at }) => at)}::timestamptz[]) as new (key, page, reference, currency, amount, return_url, at)
    order by key
    on conflict (key) do nothing
    returning page`);
  return new Set(rows.map(({ page }) => page));
}

/** Sessions by their keys: those that are there. */
export async function findSessions(queries: Rows, keys: readonly string[]): Promise<ReadonlyMap<string, SessionRow>> {
  if (keys.length === 0) return new Map();
  const rows = await queries.rows<SessionRow>(sql`select ${sessionColumns} from sessions s where key = any(${keys}::text[])`);
  return new Map(rows.map((row) => [row.key, row]));
}

/** Sessions by their pages: those that are there. */
export async function findSessionsByPage(queries: Rows, pages: readonly string[]): Promise<ReadonlyMap<string, SessionRow>> {
  const rows = await queries.rows<SessionRow>(sql`select ${sessionColumns} from sessions s where page = any(${pages}::text[])`);
  return new Map(rows.map((row) => [row.page!, row])); // found by it
}

/** Closes sessions that are open, or that never were; each key once. Gives those that it has closed, by their keys. Locked in the order of their keys. */
export async function closeOpenSessions(
  queries: Rows,
  closings: readonly { readonly key: string; readonly at: Date }[],
): Promise<ReadonlyMap<string, SessionRow>> {
  const rows = await queries.rows<SessionRow>(sql`
    insert into sessions as s (key, reference, status, return_url, decline_code, created_at, updated_at)
    select key, '', 'closed', '', '', at, at
    from unnest(${closings.map(({ key }) => key)}::text[], ${closings.map(({ at }) => at)}::timestamptz[]) as closing (key, at)
    order by key
    on conflict (key) do update set status = 'closed', updated_at = excluded.updated_at where s.status = 'open'
    returning ${sessionColumns}`);
  return new Map(rows.map((row) => [row.key, row]));
}

/** Which sessions are decided: open ones, named by their pages; or those that have been processing, by their keys. */
export type Undecided = "open" | "processing";

export interface Decision {
  /** The page or key of what is decided. */
  readonly of: string;
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
 * Decides sessions, each once, with their charges and webhooks, in one statement. Gives them as they then are, by the page or key that they were
 * named by; without those that are not there, or that another request has decided. Locked in the order of their keys.
 */
export async function decideSessions(
  queries: Rows,
  undecided: Undecided,
  decisions: readonly Decision[],
): Promise<ReadonlyMap<string, SessionRow>> {
  const name = undecided === "open" ? sql`s.page` : sql`s.key`;
  const rows = await queries.rows<SessionRow & { readonly of: string }>(sql`
    with locked as (
      select s.key, ${name} as of from sessions s where ${name} = any(${decisions.map(({ of }) => of)}::text[]) and s.status = ${undecided}
      order by s.key for no key update
    ), decided as (
      update sessions s set status = d.status, decline_code = d.decline_code, card_last4 = coalesce(d.last4, s.card_last4),
        settles_at = d.settles_at, settles_to = d.settles_to, updated_at = d.at
      from locked join unnest(${decisions.map(({ of }) => of)}::text[], ${decisions.map(({ status }) => status)}::text[],
          ${decisions.map(({ declineCode }) => declineCode)}::text[], ${decisions.map(({ last4 }) => last4 ?? null)}::text[],
          ${decisions.map(({ settles }) => settles?.at ?? null)}::timestamptz[], ${decisions.map(({ settles }) => settles?.to ?? null)}::text[],
          ${decisions.map(({ chargeId }) => chargeId)}::text[], ${decisions.map(({ webhook }) => webhook.id)}::text[],
          ${decisions.map(({ webhook }) => webhook.times)}::int[], ${decisions.map(({ at }) => at)}::timestamptz[])
        as d (of, status, decline_code, last4, settles_at, settles_to, charge_id, webhook_id, times, at) on d.of = locked.of
      where s.key = locked.key
      returning ${sessionColumns}, d.of, d.charge_id, d.webhook_id, d.times, d.at
    ), charged as (
      insert into charges (id, session_key, reference, currency, amount, refunded, iso_4217, at)
      select charge_id, key, reference, currency, amount, 0, true, at from decided where status = 'succeeded'
    ), webhook as (
      insert into webhooks (id, session_key, type, times, at, due_at)
      select webhook_id, key, 'session.' || status, times, at, case when times > 0 then at end from decided where status <> 'processing'
    )
    select of, ${decidedColumns} from decided`);
  return new Map(rows.map(({ of, ...session }) => [of, session]));
}

export interface Settling {
  readonly key: string;
  readonly at: Date;
  readonly to: "succeeded" | "declined";
}

/** The sessions whose processing ends at some time, the earliest first. */
export function settlingSessions(queries: Rows, limit: number): Promise<Settling[]> {
  return queries.rows<Settling>(
    sql`select key, settles_at as at, settles_to as "to" from sessions where settles_at is not null order by settles_at limit ${limit}`,
  );
}
