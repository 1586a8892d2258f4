import { compile } from "./sql.ts";
import type { Sql } from "./sql.ts";

/** The one row, or undefined; two are a fault, and so is none when it is `needed`. */
export function onlyRow<Row>(rows: readonly Row[], query: Sql, needed: true): Row;
export function onlyRow<Row>(rows: readonly Row[], query: Sql, needed?: boolean): Row | undefined;
export function onlyRow<Row>(rows: readonly Row[], query: Sql, needed = false): Row | undefined {
  if (rows.length > 1 || (needed && rows.length === 0))
    throw new Error(
      `${rows.length} rows where ${needed ? "one" : "at most one"} was expected: ${compile(query).text.replace(/\s+/g, " ").trim()}`,
    );
  return rows[0];
}
