import { sql } from "@kontor/platform/database/sql.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";

/** Money taken for a session, which is the merchant's attempt. The reference is the merchant's payment. */
export interface ChargeFact {
  readonly id: string;
  readonly session: string;
  readonly reference: string;
  readonly currency: string;
  readonly amountMinor: bigint;
}

/** Money returned, or refused to be. The key is the merchant's refund, or its attempt. */
export interface ProviderRefundFact extends ChargeFact {
  readonly key: string;
  readonly status: "succeeded" | "failed";
}

export interface ProviderFacts {
  charges(after: string, limit: number): Promise<ChargeFact[]>;
  refunds(after: string, limit: number): Promise<ProviderRefundFact[]>;
  chargesBySessions(sessions: readonly string[]): Promise<ChargeFact[]>;
  refundsBySessions(sessions: readonly string[]): Promise<ProviderRefundFact[]>;
  /** The sessions that were charged, and how often: once is right. */
  chargeCounts(after: string, limit: number): Promise<{ readonly session: string; readonly charges: number }[]>;
}

const chargeColumns = sql`id, session_key as session, reference, currency, amount as "amountMinor"`;
const refundColumns = sql`${chargeColumns}, key, status`;

export const providerFacts: ServiceFacts<ProviderFacts> = {
  service: "provider",
  from: (provider) => ({
    charges: (after, limit) => provider.rows(sql`select ${chargeColumns} from charges where id > ${after} order by id limit ${limit}`),
    refunds: (after, limit) => provider.rows(sql`select ${refundColumns} from refunds where id > ${after} order by id limit ${limit}`),
    chargesBySessions: (sessions) => provider.rows(sql`select ${chargeColumns} from charges where session_key = any(${sessions}::text[])`),
    refundsBySessions: (sessions) => provider.rows(sql`select ${refundColumns} from refunds where session_key = any(${sessions}::text[])`),
    chargeCounts: (after, limit) =>
      provider.rows(sql`
        select session_key as session, count(*)::int as charges from charges
        where session_key > ${after} group by session_key order by session_key limit ${limit}`),
  }),
};
