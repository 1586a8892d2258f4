import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** A saga as it is stored: its bytes are not decoded. */
export interface StoredSaga {
  readonly id: string;
  readonly status: "RUNNING" | "UNDOING" | "DONE" | "REFUSED";
  readonly input: Uint8Array;
  readonly result: Uint8Array | null;
  /** Whether the refusal that a repeated call gets is stored. */
  readonly refused: boolean;
}

/** The sagas of a name behind an id, in the order of ids, without the keys that joined one. */
export function storedSagas(queries: Queries, name: string, after: string, limit: number): Promise<StoredSaga[]> {
  return queries.rows(sql`
    select id, status, input, reply as result, refusal is not null as refused from sagas
    where name = ${name} and joins is null and id > ${after} order by id limit ${limit}`);
}

/** The idempotency keys behind one, in their order, with the sagas that were begun under each: there must be one. */
export function sagasByKey(
  queries: Queries,
  after: string,
  limit: number,
): Promise<{ readonly key: string; readonly sagas: readonly string[] }[]> {
  return queries.rows(
    sql`select key, array_agg(id order by id) as sagas from sagas where key > ${after} group by key order by key limit ${limit}`,
  );
}

/** The sagas that have not ended, oldest first. */
export function liveSagas(
  queries: Queries,
  limit: number,
): Promise<{ readonly id: string; readonly status: "RUNNING" | "UNDOING"; readonly createdAt: Date }[]> {
  return queries.rows(sql`
    select id, status, created_at as "createdAt" from sagas where status in ('RUNNING', 'UNDOING') order by created_at limit ${limit}`);
}
