import { sql } from "./sql.ts";
import type { Sql } from "./sql.ts";

/** Writes that belong together: the parts of one statement, which others may join. */
export interface Writes {
  /** Queries that insert, update or delete, each with its name in the statement's `with`: "made as (insert into …)". */
  readonly parts: readonly Sql[];
  /** What must hold of what they return, or nothing is written: "(select count(*) from made) = 3". */
  readonly complete?: readonly Sql[];
}

/** The statement that writes them. Fails with 22012 when they are not complete: only an error keeps it, or the commit sent right behind it, from being committed. */
export function writeSql(writes: Writes): Sql {
  const { parts, complete } = writes;
  if (parts.length === 0) return sql`select`;
  return sql`with ${sql.join(parts)} select ${completeSql(complete)}`;
}

/** The expression that fails when writes are not complete. */
export function completeSql(complete: Writes["complete"] = []): Sql {
  return complete.length === 0 ? sql`1` : sql`1 / (${sql.join(complete, sql` and `)})::int`;
}
