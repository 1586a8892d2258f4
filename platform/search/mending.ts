import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Stems } from "./stems.ts";
import { anyWord } from "./terms.ts";
import { isMendable, nearest, remainsOf } from "./words.ts";

/** Learns the words of an index, so that others can be mended to them. Known words cost a look-up. */
export async function learn(queries: Queries, index: string, words: ReadonlySet<string>): Promise<void> {
  const mendable = [...words].filter(isMendable);
  if (mendable.length === 0) return;
  const missing = await queries.rows<{ word: string }>(sql`
    select word from unnest(${mendable}::text[]) as word
    where not exists (select from search_words as known where known.index_name = ${index} and known.word = word.word)`);
  if (missing.length === 0) return;
  // Sorted, so that two who learn the same words wait for each other in one order.
  const learnt = missing.map(({ word }) => word).toSorted();
  await queries.run(sql`
    insert into search_words (index_name, word, remains)
    select ${index}, word, string_to_array(remains, ' ')
    from unnest(${learnt}::text[], ${learnt.map((word) => [...remainsOf(word)].join(" "))}::text[]) as new (word, remains)
    on conflict do nothing`);
}

/**
 * What may have been meant by words of which at least one is in no document: for each word itself, or the nearest words that documents
 * have. Undefined when there is nothing to mend or no such word.
 */
export async function mend(queries: Queries, stems: Stems, index: string, words: readonly string[]): Promise<string[][] | undefined> {
  const known = await stems(words);
  const telling = words.filter((word) => known.get(word) !== "");
  const asked = telling.map((word) => ({
    word,
    query: anyWord(index, [known.get(word) ?? word]),
    remains: [...remainsOf(word)].join(" "),
  }));
  const rows = await queries.rows<{ typed: string; found: boolean; near: string[] | null }>(sql`
    select typed, found, case when not found then array(
      select word from search_words where index_name = ${index} and remains && string_to_array(asked.remains, ' ')) end as near
    from (
      select typed, remains, exists (select from search_documents where terms @@ query::tsquery) as found
      from unnest(${asked.map(({ word }) => word)}::text[], ${asked.map(({ query }) => query)}::text[], ${asked.map(({ remains }) => remains)}::text[])
        as typed (typed, query, remains)) as asked`);
  const nearby = new Map(rows.map(({ typed, found, near }) => [typed, found ? undefined : (near ?? [])]));
  if (![...nearby.values()].some((near) => near !== undefined)) return undefined;
  const candidates = [...nearby.values()].flatMap((near) => near ?? []);
  const candidateStems = await stems(candidates);
  const living = await wordsInDocuments(queries, index, candidates, candidateStems);
  const mended = telling.map((word) => {
    const near = nearby.get(word);
    return near === undefined
      ? [word]
      : nearest(
          word,
          near.filter((one) => living.has(one)),
        );
  });
  return mended.every((alternatives) => alternatives.length > 0) ? mended : undefined;
}

/** Of the words once learnt, those that a document still has. */
async function wordsInDocuments(
  queries: Queries,
  index: string,
  words: readonly string[],
  stems: ReadonlyMap<string, string>,
): Promise<Set<string>> {
  const asked = words.map((word) => anyWord(index, [stems.get(word) || word]));
  const rows = await queries.rows<{ word: string }>(sql`
    select word from unnest(${words}::text[], ${asked}::text[]) as asked (word, query)
    where exists (select from search_documents where terms @@ query::tsquery)`);
  return new Set(rows.map(({ word }) => word));
}
