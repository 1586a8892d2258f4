import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Stems } from "./stems.ts";
import { anyWord } from "./terms.ts";
import { isCorrectable, nearest, deletionsOf } from "./words.ts";

/** Adds words to the dictionary by which the spelling of queries is corrected. Known words cost a look-up. */
export async function addWords(queries: Queries, index: string, words: ReadonlySet<string>): Promise<void> {
  const correctable = [...words].filter(isCorrectable);
  if (correctable.length === 0) return;
  const missing = await queries.rows<{ word: string }>(sql`
    select word from unnest(${correctable}::text[]) as word
    where not exists (select from search_words as known where known.index_name = ${index} and known.word = word.word)`);
  if (missing.length === 0) return;
  // Sorted, so that two transactions that add the same words lock them in one order.
  const added = missing.map(({ word }) => word).toSorted();
  await queries.run(sql`
    insert into search_words (index_name, word, deletions)
    select ${index}, word, string_to_array(deletions, ' ')
    from unnest(${added}::text[], ${added.map((word) => [...deletionsOf(word)].join(" "))}::text[]) as new (word, deletions)
    on conflict do nothing`);
}

/**
 * The query's words with their spelling corrected: for each word itself, or, where no document has it, the nearest words that documents have.
 * Undefined when every word is in some document, or one has no word near it.
 */
export async function correctSpelling(
  queries: Queries,
  stems: Stems,
  index: string,
  words: readonly string[],
): Promise<string[][] | undefined> {
  const known = await stems(words);
  const significant = words.filter((word) => known.get(word) !== "");
  const lookups = significant.map((word) => ({
    word,
    query: anyWord(index, [known.get(word) ?? word]),
    deletions: [...deletionsOf(word)].join(" "),
  }));
  const rows = await queries.rows<{ typed: string; found: boolean; near: string[] | null }>(sql`
    select typed, found, case when not found then array(
      select word from search_words where index_name = ${index} and deletions && string_to_array(lookup.deletions, ' ')) end as near
    from (
      select typed, deletions, exists (select from search_documents where terms @@ query::tsquery) as found
      from unnest(${lookups.map(({ word }) => word)}::text[], ${lookups.map(({ query }) => query)}::text[], ${lookups.map(({ deletions }) => deletions)}::text[])
        as typed (typed, query, deletions)) as lookup`);
  const nearby = new Map(rows.map(({ typed, found, near }) => [typed, found ? undefined : (near ?? [])]));
  if (![...nearby.values()].some((near) => near !== undefined)) return undefined;
  const candidates = [...nearby.values()].flatMap((near) => near ?? []);
  const candidateStems = await stems(candidates);
  const present = await wordsInDocuments(queries, index, candidates, candidateStems);
  const corrected = significant.map((word) => {
    const near = nearby.get(word);
    return near === undefined
      ? [word]
      : nearest(
          word,
          near.filter((one) => present.has(one)),
        );
  });
  return corrected.every((alternatives) => alternatives.length > 0) ? corrected : undefined;
}

/** Of the dictionary's words, those that a document still has. */
async function wordsInDocuments(
  queries: Queries,
  index: string,
  words: readonly string[],
  stems: ReadonlyMap<string, string>,
): Promise<Set<string>> {
  const wanted = words.map((word) => anyWord(index, [stems.get(word) || word]));
  const rows = await queries.rows<{ word: string }>(sql`
    select word from unnest(${words}::text[], ${wanted}::text[]) as wanted (word, query)
    where exists (select from search_documents where terms @@ query::tsquery)`);
  return new Set(rows.map(({ word }) => word));
}
