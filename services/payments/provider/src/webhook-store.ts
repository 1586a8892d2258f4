import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { sessionColumns } from "./session-store.ts";
import type { SessionRow } from "./session-store.ts";

/** A webhook to be delivered to the merchant. */
export interface OutgoingWebhook {
  readonly id: string;
  readonly type: string;
  /** When it happened. */
  readonly at: Date;
  /** How often it is to arrive. */
  readonly times: number;
  /** Attempts that failed. */
  readonly attempts: number;
  /** What it says of the session does not change any more. */
  readonly session: SessionRow;
}

/** How an attempt ended: delivered, to be repeated at `dueAt`, or, with neither, failed for good. */
export interface Delivery {
  readonly id: string;
  readonly attempts: number;
  readonly deliveredAt: Date | null;
  readonly dueAt: Date | null;
  readonly problem: string;
}

/** What is waiting to be delivered and not in `held`, the earliest first. */
export async function waitingWebhooks(
  queries: Queries,
  { held, limit }: { readonly held: readonly string[]; readonly limit: number },
): Promise<(OutgoingWebhook & { readonly dueAt: Date })[]> {
  const rows = await queries.rows<SessionRow & Omit<OutgoingWebhook, "session"> & { readonly dueAt: Date }>(sql`
    select w.id, w.type, w.at, w.times, w.attempts, w.due_at as "dueAt", ${sessionColumns}
    from webhooks w join sessions s on s.key = w.session_key
    where w.due_at is not null and w.id <> all(${held}::text[]) order by w.due_at limit ${limit}`);
  return rows.map(({ id, type, at, times, attempts, dueAt, ...session }) => ({ id, type, at, times, attempts, dueAt, session }));
}

/** Records many deliveries in one statement. */
export async function saveDeliveries(queries: Queries, deliveries: readonly Delivery[]): Promise<void> {
  await queries.run(sql`
    update webhooks w set attempts = d.attempts, delivered_at = d.delivered_at, due_at = d.due_at, problem = d.problem
    from unnest(${deliveries.map(({ id }) => id)}::text[], ${deliveries.map(({ attempts }) => attempts)}::int[],
      ${deliveries.map(({ deliveredAt }) => deliveredAt)}::timestamptz[], ${deliveries.map(({ dueAt }) => dueAt)}::timestamptz[],
      ${deliveries.map(({ problem }) => problem)}::text[]) as d (id, attempts, delivered_at, due_at, problem)
    where w.id = d.id`);
}
