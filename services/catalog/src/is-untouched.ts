import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

/** Whether nothing has ever happened in the catalogue: an empty one that once had products is not untouched. */
export async function isUntouched(queries: Queries): Promise<boolean> {
  const { untouched } = await queries.one<{ untouched: boolean }>(sql`select not exists (select from events) as untouched`);
  return untouched;
}
