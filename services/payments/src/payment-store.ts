import { writeAllIn } from "@kontor/platform/batch/write-all.ts";
import type { Writing } from "@kontor/platform/batch/write-all.ts";
import type { Changes } from "@kontor/platform/changes/changes.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { NewTask } from "@kontor/platform/tasks/tasks.ts";
import type { AttemptRecord, Decision, PaymentRecord, RefundRecord, Status } from "./payment.ts";

/** As they are stored in JSON: times as text, minor units as text. */
type StoredAttempt = Omit<AttemptRecord, "createdAt" | "updatedAt"> & { readonly createdAt: string; readonly updatedAt: string };
type StoredRefund = Omit<RefundRecord, "createdAt" | "updatedAt" | "amount"> & {
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly amount: string;
};

interface Row extends Omit<PaymentRecord, "status" | "attempts" | "refunds" | "secret"> {
  readonly status: Status | "VOID";
  readonly secret: string | null;
  readonly attempts: readonly StoredAttempt[];
  readonly refunds: readonly StoredRefund[];
}

const columns = sql`id, version, order_id as "order", customer, status, currency, amount, captured, refunded, secret, attempts, refunds,
  created_at as "createdAt", updated_at as "updatedAt", expires_at as "expiresAt"`;

/** The payment, locked until the transaction ends. Refuses with NOT_FOUND. */
export async function lockPayment(tx: Transaction, id: string): Promise<PaymentRecord> {
  return present(await tx.maybe<Row>(sql`select ${columns} from payments where id = ${id} for no key update`));
}

/** The same, or "VOID" for a tombstone, or undefined when there is neither. */
export async function lockPaymentIfThere(tx: Transaction, id: string): Promise<PaymentRecord | "VOID" | undefined> {
  const row = await tx.maybe<Row>(sql`select ${columns} from payments where id = ${id} for no key update`);
  return row?.status === "VOID" ? "VOID" : row && present(row);
}

/** Those of the payments that are there, "VOID" for a tombstone. */
export async function findPayments(queries: Queries, ids: readonly string[]): Promise<Map<string, PaymentRecord | "VOID">> {
  if (ids.length === 0) return new Map();
  const rows = await queries.rows<Row>(sql`select ${columns} from payments where id = any(${ids}::text[])`);
  return new Map(rows.map((row) => [row.id, row.status === "VOID" ? "VOID" : present(row)]));
}

/** Those of the payments that are there, by the secret in the address of each one's page. */
export async function findPaymentsBySecret(queries: Queries, secrets: readonly string[]): Promise<Map<string, PaymentRecord>> {
  const rows = await queries.rows<Row>(sql`select ${columns} from payments where secret = any(${secrets}::text[])`);
  return new Map(rows.map((row) => [row.secret!, present(row)]));
}

/** Refuses with NOT_FOUND. */
export async function readPayment(queries: Queries, id: string): Promise<PaymentRecord> {
  return present(await queries.maybe<Row>(sql`select ${columns} from payments where id = ${id}`));
}

/** The versions of those of the payments that exist. */
export function paymentVersions(queries: Queries, ids: readonly string[]): Promise<{ id: string; version: number }[]> {
  return queries.rows(sql`select id, version from payments where id = any(${ids}::text[])`);
}

/** `insert into payments … returning id`; none for an id that is taken. Inserted in the order of their ids, so that two batches cannot wait for each other. */
export function insertPaymentsSql(payments: readonly PaymentRecord[]): Sql {
  const sorted = payments.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  return sql`insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, iso_4217, secret, attempts, refunds, created_at, updated_at, expires_at)
    select id, version, order_id, customer, status, currency, amount, 0, 0, true, secret, '[]', '[]', created_at, created_at, expires_at
    from unnest(${sorted.map(({ id }) => id)}::text[], ${sorted.map(({ version }) => version)}::int[], ${sorted.map(({ order }) => order)}::text[],
      ${sorted.map(({ customer }) => customer)}::text[], ${sorted.map(({ status }) => status)}::text[], ${sorted.map(({ currency }) => currency)}::text[],
      ${sorted.map(({ amount }) => amount)}::bigint[], ${sorted.map(({ secret }) => secret)}::text[],
      ${sorted.map(({ createdAt }) => createdAt)}::timestamptz[], ${sorted.map(({ expiresAt }) => expiresAt)}::timestamptz[])
      as new (id, version, order_id, customer, status, currency, amount, secret, created_at, expires_at)
    on conflict (id) do nothing
    returning id`;
}

/** `update payments … returning id` of those that are at the version that was decided on. Locked in the order of their ids, so that two batches cannot wait for each other. */
export function updatePaymentsSql(decisions: readonly Saving[]): Sql {
  const after = decisions.map(({ decision: { payment } }) => payment);
  return sql`update payments p set version = c.version, status = c.status, captured = c.captured, refunded = c.refunded,
      attempts = c.attempts::jsonb, refunds = c.refunds::jsonb, updated_at = c.at
    from unnest(${after.map(({ id }) => id)}::text[], ${after.map(({ version }) => version)}::int[], ${decisions.map(versionAfter)}::int[],
        ${after.map(({ status }) => status)}::text[], ${after.map(({ captured }) => captured)}::bigint[], ${after.map(({ refunded }) => refunded)}::bigint[],
        ${after.map(({ attempts }) => JSON.stringify(attempts))}::text[],
        ${after.map(({ refunds }) => JSON.stringify(refunds.map((refund) => ({ ...refund, amount: String(refund.amount) }))))}::text[],
        ${decisions.map(({ at }) => at)}::timestamptz[]) as c (id, seen, version, status, captured, refunded, attempts, refunds, at)
      join (select id from payments where id = any(${after.map(({ id }) => id)}::text[]) order by id for no key update) locked on locked.id = c.id
    where p.id = c.id and p.version = c.seen
    returning p.id`;
}

/** Marks the id of a payment that must never be opened. Gives false when there is a payment already. */
export async function insertTombstone(tx: Transaction, id: string, at: Date): Promise<boolean> {
  const inserted = await tx.run(
    sql`insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, attempts, refunds, created_at, updated_at)
      values (${id}, 0, '', '', 'VOID', 'XXX', 0, 0, 0, '[]', '[]', ${at}, ${at}) on conflict (id) do nothing`,
  );
  return inserted === 1;
}

/** A decision about a payment, with the tasks that it leads to, to be stored at a time. */
export interface Saving {
  readonly decision: Decision;
  readonly at: Date;
  readonly tasks?: readonly NewTask[];
}

/** What is written of decisions, and on whose calls. */
export function writingOf(savings: readonly (Saving & { readonly call: Call })[]): Writing {
  return {
    state: updatePaymentsSql(savings),
    streams: savings.map(({ decision: { payment, events }, call }) => ({
      stream: payment.id,
      expectedVersion: payment.version,
      events,
      call,
    })),
    tasks: savings.flatMap(({ decision: { payment }, tasks = [], call }) => tasks.map((task) => ({ ...task, of: payment.id, call }))),
    call: savings[0]!.call,
  };
}

/** The payment as stored by a decision. */
export function savedPayment(saving: Saving): PaymentRecord {
  return { ...saving.decision.payment, version: versionAfter(saving), updatedAt: saving.at };
}

/** Stores a decision about a payment that the transaction has locked, with its events and tasks, in one statement. Gives the payment as stored. */
export async function savePayment(
  seams: Pick<ServiceContext, "events" | "tasks"> & { readonly changes: Changes },
  tx: Transaction,
  decision: Decision,
  { call, at, tasks = [] }: Omit<Saving, "decision"> & { readonly call: Call },
): Promise<PaymentRecord> {
  const saving = { decision, at, tasks, call };
  const written = await writeAllIn(tx, seams, writingOf([saving]));
  if (written.size !== 1) throw new Error(`payment ${decision.payment.id} was not locked`);
  tx.afterCommit(() => seams.changes.announce([decision.payment.id]));
  return savedPayment(saving);
}

function versionAfter({ decision: { payment, events } }: Pick<Saving, "decision">): number {
  return payment.version + events.length;
}

/** The refusal of a payment that is not there. */
export function noSuchPayment(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such payment" });
}

function present(row: Row | undefined): PaymentRecord {
  if (row === undefined || row.status === "VOID") throw noSuchPayment();
  return {
    ...row,
    status: row.status,
    secret: row.secret ?? "",
    attempts: row.attempts.map((attempt) => ({
      ...attempt,
      createdAt: new Date(attempt.createdAt),
      updatedAt: new Date(attempt.updatedAt),
    })),
    refunds: row.refunds.map((refund) => ({
      ...refund,
      amount: BigInt(refund.amount),
      createdAt: new Date(refund.createdAt),
      updatedAt: new Date(refund.updatedAt),
    })),
  };
}
