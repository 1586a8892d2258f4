import { sql } from "@kontor/platform/database/sql.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { waitingTaskKeys } from "@kontor/platform/tasks/task-facts.ts";
import { attemptCheckQueue, giveBackQueue, refundQueue } from "./channels.ts";
import type { AttemptState, RefundState, Status } from "./payment.ts";

/** Amounts are in minor units of the payment's currency. VOID: the tombstone of one that must never be opened. */
export interface PaymentFact {
  readonly id: string;
  readonly order: string;
  readonly status: Status | "VOID";
  readonly currency: string;
  readonly amountMinor: bigint;
  readonly capturedMinor: bigint;
  readonly refundedMinor: bigint;
  readonly attempts: readonly AttemptFact[];
  readonly refunds: readonly RefundFact[];
}

export interface AttemptFact {
  readonly id: string;
  readonly status: AttemptState;
  /** The provider's name. */
  readonly provider: string;
}

export interface RefundFact {
  readonly id: string;
  readonly status: RefundState;
  readonly amountMinor: bigint;
}

/** What a task may still have to settle with the provider: ask how an attempt ended, return what came a second time, refund. */
export type PaymentWork = "check" | "return" | "refund";

export interface PaymentFacts {
  /** Without tombstones. */
  payments(after: string, limit: number): Promise<PaymentFact[]>;
  paymentsByIds(ids: readonly string[]): Promise<PaymentFact[]>;
  /** The payments of these orders that were captured, whether they were refunded or not. */
  captured(orders: readonly string[]): Promise<{ readonly id: string; readonly order: string }[]>;
  /** Those of these attempts or refunds that have a task which is still to be done. */
  toBeDone(work: PaymentWork, ids: readonly string[]): Promise<ReadonlySet<string>>;
}

const queues: Readonly<Record<PaymentWork, string>> = {
  check: attemptCheckQueue.name,
  return: giveBackQueue.name,
  refund: refundQueue.name,
};
const columns = sql`id, order_id as "order", status, currency, amount as "amountMinor", captured as "capturedMinor", refunded as "refundedMinor",
  attempts, refunds`;

type Row = Omit<PaymentFact, "refunds"> & { readonly refunds: readonly (Omit<RefundFact, "amountMinor"> & { readonly amount: string })[] };

export const paymentFacts: ServiceFacts<PaymentFacts> = {
  service: "payments",
  from: (payments) => ({
    payments: async (after, limit) =>
      (
        await payments.rows<Row>(sql`select ${columns} from payments where status <> 'VOID' and id > ${after} order by id limit ${limit}`)
      ).map(fact),
    paymentsByIds: async (ids) =>
      (await payments.rows<Row>(sql`select ${columns} from payments where id = any(${[...new Set(ids)]}::text[])`)).map(fact),
    captured: (orders) =>
      payments.rows(sql`
        select id, order_id as "order" from payments where order_id = any(${orders}::text[]) and status in ('CAPTURED', 'REFUNDED')`),
    toBeDone: (work, ids) => waitingTaskKeys(payments, queues[work], ids),
  }),
};

function fact({ refunds, ...payment }: Row): PaymentFact {
  return { ...payment, refunds: refunds.map(({ id, status, amount }) => ({ id, status, amountMinor: BigInt(amount) })) };
}
