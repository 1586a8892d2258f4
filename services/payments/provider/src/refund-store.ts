import type { Money } from "@kontor/contracts/money.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { sessionColumns } from "./session-store.ts";
import type { SessionRow } from "./session-store.ts";

export type RefundStatus = "succeeded" | "failed";

/** What a refund is decided on. */
export interface RefundSituation {
  /** The refund that has its key already. */
  readonly existing:
    | { readonly session: string; readonly currency: string; readonly amount: bigint; readonly status: RefundStatus }
    | undefined;
  /** What was charged, if anything, and is not yet refunded. */
  readonly left: Money | undefined;
}

/** The session, locked until the transaction ends: its refunds are decided one after the other. */
export function lockSession(tx: Transaction, key: string): Promise<SessionRow | undefined> {
  return tx.maybe<SessionRow>(sql`select ${sessionColumns} from sessions s where key = ${key} for no key update`);
}

/** Read in a statement after the lock's: a snapshot older than the wait for the lock would count a refund twice. */
export async function refundSituation(
  tx: Transaction,
  refund: { readonly key: string; readonly session: string },
): Promise<RefundSituation> {
  const row = await tx.one<{
    session: string | null;
    existingCurrency: string;
    existingAmount: bigint;
    existingStatus: RefundStatus;
    chargeCurrency: string | null;
    chargeLeft: bigint;
  }>(sql`
    select r.session_key as session, r.currency as "existingCurrency", r.amount as "existingAmount", r.status as "existingStatus",
      c.currency as "chargeCurrency", c.amount - c.refunded as "chargeLeft"
    from (select 1) as one left join refunds r on r.key = ${refund.key} left join charges c on c.session_key = ${refund.session}`);
  return {
    existing:
      row.session === null
        ? undefined
        : { session: row.session, currency: row.existingCurrency, amount: row.existingAmount, status: row.existingStatus },
    left: row.chargeCurrency === null ? undefined : { currency: row.chargeCurrency, minor: row.chargeLeft },
  };
}

export interface NewRefund {
  readonly id: string;
  readonly key: string;
  readonly session: SessionRow;
  readonly amount: Money;
  readonly status: RefundStatus;
  readonly webhook: { readonly id: string; readonly times: number };
  readonly at: Date;
}

/** Records a refund whose session is locked; with the charge and the webhook when it succeeded. */
export async function insertRefund(tx: Transaction, { id, key, session, amount, status, webhook, at }: NewRefund): Promise<void> {
  await tx.run(sql`
    with refund as (
      insert into refunds (id, key, session_key, reference, status, currency, amount, iso_4217, at)
      values (${id}, ${key}, ${session.key}, ${session.reference}, ${status}, ${amount.currency}, ${amount.minor}, true, ${at})
      returning session_key, amount, status
    ), charge as (
      update charges c set refunded = c.refunded + b.amount from refund b where c.session_key = b.session_key and b.status = 'succeeded'
    )
    insert into webhooks (id, session_key, type, times, at, due_at)
    select ${webhook.id}, session_key, 'refund.succeeded', ${webhook.times}::int, ${at}::timestamptz, ${webhook.times > 0 ? at : null}::timestamptz
    from refund where status = 'succeeded'`);
}
