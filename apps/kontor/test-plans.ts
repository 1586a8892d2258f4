import { sqlState } from "@kontor/platform/database/database.ts";
import type { Database, Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";

/** A node of a plan as `explain (format json)` gives it; the figures are there with `analyze`. */
interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Index Name"?: string;
  readonly "Actual Rows"?: number;
  readonly "Actual Loops"?: number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Index Recheck"?: number;
  readonly Plans?: readonly PlanNode[];
}

/** A table that a statement reads, and how many of its rows it has looked at. */
export interface Scan {
  readonly table: string;
  /** "Seq Scan", or how else. */
  readonly how: string;
  readonly rows: number;
}

type Plans = readonly { readonly "QUERY PLAN": readonly { readonly Plan: PlanNode }[] }[];

/**
 * What a statement scans. It is executed and rolled back, to see how many rows it looks at; one that the database refuses, because what it writes has been
 * written, is only planned, and has looked at none.
 */
export async function scansOf(database: Database, statement: Sql): Promise<readonly Scan[]> {
  const undone = new Error("rolled back");
  let plans: Plans = [];
  const explain = async (queries: Queries, options: Sql) => (plans = await queries.rows(sql`explain (${options}) ${statement}`));
  await database
    .transaction(async (tx) => {
      await explain(tx, sql`analyze, timing off, format json`);
      throw undone;
    })
    .catch(async (error: unknown) => {
      if (error === undone) return;
      if (sqlState(error) === undefined) throw error;
      await explain(database, sql`format json`);
    });
  return plans.flatMap((row) => row["QUERY PLAN"].flatMap(({ Plan }) => scansIn(Plan)));
}

function scansIn(node: PlanNode): readonly Scan[] {
  const looked = (node["Actual Rows"] ?? 0) + (node["Rows Removed by Filter"] ?? 0) + (node["Rows Removed by Index Recheck"] ?? 0);
  const table = node["Relation Name"] ?? node["Index Name"];
  const own =
    table !== undefined && node["Node Type"].endsWith(" Scan")
      ? [{ table, how: node["Node Type"], rows: looked * (node["Actual Loops"] ?? 1) }]
      : [];
  return [...own, ...(node.Plans ?? []).flatMap(scansIn)];
}
