import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

/** Where a text was found. */
export interface Found {
  /** "orders.events" */
  readonly table: string;
  /** What the text is: "the password". */
  readonly what: string;
}

/** Looks for texts in every row of every table, inside binary columns too, letter case aside. Reads all of it: for small shops. */
export async function findText(
  databases: ReadonlyMap<string, Queries>,
  texts: Readonly<Record<string, string>>,
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const [name, database] of databases) {
    const tables = await database.rows<{ table: string; content: string }>(sql`
      select relname as table, lower(query_to_xml(format('select to_jsonb(t)::text as r from %I t', relname), true, false, '')::text) as content
      from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`);
    for (const { table, content } of tables)
      for (const [what, text] of Object.entries(texts)) {
        const lower = text.toLowerCase();
        const inBytes = [text, lower].map((one) => Buffer.from(one).toString("hex"));
        if ([lower, ...inBytes].some((one) => content.includes(one))) found.push({ table: `${name}.${table}`, what });
      }
  }
  return found;
}
