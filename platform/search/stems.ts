import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** The stems of words: "shirts" and "shirt" have one. Empty for stop words ("the"). */
export type Stems = (words: Iterable<string>) => Promise<ReadonlyMap<string, string>>;

const cachedMax = 20_000;

/** Stems by PostgreSQL's English dictionary. They are cached, so that a usual query needs no statement. */
export function createStems(queries: Queries): Stems {
  const cached = new Map<string, string>();
  return async (words) => {
    const stems = new Map<string, string>();
    const missing: string[] = [];
    for (const word of new Set(words)) {
      const stem = cached.get(word);
      if (stem === undefined) missing.push(word);
      else stems.set(word, stem);
    }
    if (missing.length === 0) return stems;
    const rows = await queries.rows<{ word: string; stem: string }>(sql`
      select word, coalesce((ts_lexize('pg_catalog.english_stem', word))[1], '') as stem from unnest(${missing}::text[]) as word`);
    if (cached.size + rows.length > cachedMax) cached.clear();
    for (const { word, stem } of rows) {
      cached.set(word, stem);
      stems.set(word, stem);
    }
    return stems;
  };
}
