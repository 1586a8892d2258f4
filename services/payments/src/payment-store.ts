import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { isVersionTaken } from "@kontor/platform/events/version-taken.ts";
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
  created_at as "createdAt", updated_at as "updatedAt"`;

/** The payment, locked until the transaction ends. Refuses with NOT_FOUND. */
export async function lockPayment(tx: Transaction, id: string): Promise<PaymentRecord> {
  return present(await tx.maybe<Row>(sql`select ${columns} from payments where id = ${id} for no key update`));
}

/** The same, or "VOID" for a tombstone, or undefined when there is neither. */
export async function lockPaymentIfThere(tx: Transaction, id: string): Promise<PaymentRecord | "VOID" | undefined> {
  const row = await tx.maybe<Row>(sql`select ${columns} from payments where id = ${id} for no key update`);
  return row?.status === "VOID" ? "VOID" : row && present(row);
}

/** The payment, or "VOID" for a tombstone, or undefined. */
export async function findPayment(queries: Queries, id: string): Promise<PaymentRecord | "VOID" | undefined> {
  const row = await queries.maybe<Row>(sql`select ${columns} from payments where id = ${id}`);
  return row?.status === "VOID" ? "VOID" : row && present(row);
}

/** Refuses with NOT_FOUND. */
export async function readPayment(queries: Queries, id: string): Promise<PaymentRecord> {
  return present(await queries.maybe<Row>(sql`select ${columns} from payments where id = ${id}`));
}

/** The payment whose page has this secret in its address. Refuses with NOT_FOUND. */
export async function readPaymentBySecret(queries: Queries, secret: string): Promise<PaymentRecord> {
  return present(await queries.maybe<Row>(sql`select ${columns} from payments where secret = ${secret}`));
}

/** `insert into payments … returning id`. Fails on an id that is taken, with everything in the same statement. */
export function insertPaymentSql(payment: PaymentRecord): Sql {
  return sql`insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, secret, attempts, refunds, created_at, updated_at)
    values (${payment.id}, ${payment.version}, ${payment.order}, ${payment.customer}, ${payment.status}, ${payment.currency}, ${payment.amount}, 0, 0,
      ${payment.secret}, '[]', '[]', ${payment.createdAt}, ${payment.createdAt})
    returning id`;
}

/** Marks the id of a payment that must never be opened. Gives false when there is a payment already. */
export async function insertTombstone(tx: Transaction, id: string, at: Date): Promise<boolean> {
  const inserted = await tx.run(
    sql`insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, attempts, refunds, created_at, updated_at)
      values (${id}, 0, '', '', 'VOID', 'XXX', 0, 0, 0, '[]', '[]', ${at}, ${at}) on conflict (id) do nothing`,
  );
  return inserted === 1;
}

interface Saving {
  readonly call: Call;
  readonly at: Date;
  readonly tasks?: readonly NewTask[];
}

/** Stores a decision about a payment that the transaction has locked, with its events and tasks, in one statement. Gives the payment as stored. */
export async function savePayment(
  seams: Pick<ServiceContext, "events" | "tasks">,
  tx: Transaction,
  decision: Decision,
  saving: Saving,
): Promise<PaymentRecord> {
  const saved = await save(seams, tx, decision, saving);
  if (saved === undefined) throw new Error(`payment ${decision.payment.id} was not locked`);
  tx.afterCommit(() => wake(seams, saving));
  return saved;
}

/**
 * Decides on a payment and stores that, in a read and a single statement: no lock is held over a round trip. The version is what is locked
 * on: when another transaction has written meanwhile, nothing is stored, and the decision is made again on what it has written. Refuses with NOT_FOUND.
 */
export async function changePayment(
  seams: Pick<ServiceContext, "database" | "events" | "tasks">,
  id: string,
  call: Call,
  decide: (payment: PaymentRecord) => (Omit<Saving, "call"> & { readonly decision: Decision }) | undefined,
): Promise<PaymentRecord> {
  for (;;) {
    call.check();
    const payment = await readPayment(seams.database, id);
    const decided = decide(payment);
    if (decided === undefined) return payment;
    const saving = { ...decided, call };
    const saved = await save(seams, seams.database, decided.decision, saving).catch((error: unknown) => {
      if (isVersionTaken(error)) return undefined;
      throw error;
    });
    if (saved === undefined) continue;
    wake(seams, saving);
    return saved;
  }
}

/** Undefined when the payment is at another version than was decided on. */
async function save(
  { events, tasks }: Pick<ServiceContext, "events" | "tasks">,
  queries: Queries,
  { payment, events: happened }: Decision,
  { call, at, tasks: work = [] }: Saving,
): Promise<PaymentRecord | undefined> {
  const version = payment.version + happened.length;
  const tasked = work.length > 0 ? sql`, tasked as (${tasks.addSql(call, work)})` : sql``;
  const { saved, recorded } = await queries.one<{ saved: number; recorded: number }>(
    sql`with saved as (update payments set version = ${version}, status = ${payment.status}, captured = ${payment.captured}, refunded = ${payment.refunded},
        attempts = ${JSON.stringify(payment.attempts)}, refunds = ${JSON.stringify(payment.refunds.map((refund) => ({ ...refund, amount: String(refund.amount) })))},
        updated_at = ${at} where id = ${payment.id} and version = ${payment.version} returning 1),
      recorded as (${events.appendSql(call, [{ stream: payment.id, expectedVersion: payment.version, events: happened }])})${tasked}
      select (select count(*) from saved)::int as saved, (select count(*) from recorded)::int as recorded`,
  );
  if (recorded !== saved * happened.length) throw new Error(`payment ${payment.id} and its events are not at one version`);
  return saved === 1 ? { ...payment, version, updatedAt: at } : undefined;
}

function wake({ events, tasks }: Pick<ServiceContext, "events" | "tasks">, { tasks: work = [] }: Saving): void {
  events.wake();
  for (const { dueAt } of work) tasks.wake(dueAt);
}

function present(row: Row | undefined): PaymentRecord {
  if (row === undefined || row.status === "VOID")
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such payment" });
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
