import { moneyTo } from "@kontor/contracts/money.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

interface Entry {
  readonly id: string;
  readonly session: string;
  readonly reference: string;
  readonly currency: string;
  readonly amount: bigint;
  readonly at: Date;
}

interface RefundEntry extends Entry {
  readonly key: string;
  readonly status: string;
}

export interface LedgerPage {
  /** The id of the last entry that the reader has; empty to begin. */
  readonly after: string;
  readonly limit: number;
  /** Entries from this id on may not all be committed yet. */
  readonly horizon: string;
}

/** Charges in the order of their ids. */
export async function listCharges(queries: Queries, { after, limit, horizon }: LedgerPage): Promise<object> {
  const rows = await queries.rows<Entry>(sql`
    select id, session_key as session, reference, currency, amount, at from charges
    where id > ${after} and id < ${horizon} order by id limit ${limit + 1}`);
  const entries = rows.slice(0, limit);
  return { charges: entries.map(entryJson), next: rows.length > limit ? entries.at(-1)!.id : "" };
}

/** Refunds in the order of their ids, those that failed too. */
export async function listRefunds(queries: Queries, { after, limit, horizon }: LedgerPage): Promise<object> {
  const rows = await queries.rows<RefundEntry>(sql`
    select id, key, session_key as session, reference, status, currency, amount, at from refunds
    where id > ${after} and id < ${horizon} order by id limit ${limit + 1}`);
  const entries = rows.slice(0, limit);
  return {
    refunds: entries.map((entry) => ({ ...entryJson(entry), key: entry.key, status: entry.status })),
    next: rows.length > limit ? entries.at(-1)!.id : "",
  };
}

function entryJson({ id, session, reference, currency, amount, at }: Entry) {
  return { id, session, reference, amount: moneyTo({ currency, minor: amount }), at: at.toISOString() };
}

/** Makes the ids of entries and knows which are not committed yet, so that a reader who pages by id misses none. */
export interface EntryIds {
  /** Runs `write` with a fresh id. */
  use<T>(write: (id: string) => Promise<T>): Promise<T>;
  /** All entries with ids below this are committed. */
  horizon(): string;
}

export function entryIds(next: () => string): EntryIds {
  // In the order in which they were made, which is that of the ids.
  const uncommitted = new Set<string>();
  return {
    async use(write) {
      const id = next();
      uncommitted.add(id);
      try {
        return await write(id);
      } finally {
        uncommitted.delete(id);
      }
    },
    horizon: () => uncommitted.values().next().value ?? "~",
  };
}
