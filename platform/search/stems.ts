import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** The stems of words: "shirts" and "shirt" have one. Empty for words that say nothing ("the"). */
export type Stems = (words: Iterable<string>) => Promise<ReadonlyMap<string, string>>;

const keptMax = 20_000;

/** Stems by PostgreSQL's English dictionary. Those of known words are kept, so that a usual query asks for none. */
export function createStems(queries: Queries): Stems {
  const kept = new Map<string, string>();
  return async (words) => {
    const stems = new Map<string, string>();
    const missing: string[] = [];
    for (const word of new Set(words)) {
      const stem = kept.get(word);
      if (stem === undefined) missing.push(word);
      else stems.set(word, stem);
    }
    if (missing.length === 0) return stems;
    const rows = await queries.rows<{ word: string; stem: string }>(sql`
      select word, coalesce((ts_lexize('pg_catalog.english_stem', word))[1], '') as stem from unnest(${missing}::text[]) as word`);
    if (kept.size + rows.length > keptMax) kept.clear();
    for (const { word, stem } of rows) {
      kept.set(word, stem);
      stems.set(word, stem);
    }
    return stems;
  };
}
