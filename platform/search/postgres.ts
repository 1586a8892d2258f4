import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import { refuse } from "../errors/refusal.ts";
import { learn, mend } from "./mending.ts";
import { decodeCursor, encodeCursor } from "./search-cursor.ts";
import { facetsSql, keyCountOf, pageSql } from "./search-sql.ts";
import type { Asked, PageRow } from "./search-sql.ts";
import type { Search, SearchDocument, SearchIndex, SearchQuery, SearchResult } from "./search.ts";
import { createStems } from "./stems.ts";
import type { Stems } from "./stems.ts";
import { documentTerms, documentWords, plain, queryWords, wanted } from "./terms.ts";
import type { Wanted } from "./terms.ts";

/** What the service's database needs for it. */
export const searchMigrations: MigrationSet = { scope: "search", folder: new URL("./migrations/", import.meta.url) };

const putAtOnce = 200;
const facetValuesMax = 100;
const analyzeFirstAfter = 500;

export interface PostgresSearchOptions {
  readonly database: Database;
}

/**
 * Search in the service's own database. A usual query is one statement over one GIN index. A text of which some word is in no
 * document is tried again with the words nearest to it. The first 16 words of a text count, and up to 100 values of a facet.
 */
export function createPostgresSearch({ database }: PostgresSearchOptions): Search {
  const stems = createStems(database);
  return { index: (name) => createIndex(database, stems, name) };
}

function createIndex(database: Database, stems: Stems, index: string): SearchIndex {
  let written = 0;
  let analyzeAfter = analyzeFirstAfter;

  return {
    async put(documents) {
      const newest = newestOfEach(documents);
      for (let at = 0; at < newest.length; at += putAtOnce) await putSome(database, stems, index, newest.slice(at, at + putAtOnce));
      written += newest.length;
      if (written < analyzeAfter) return;
      // A plan made while the table was small reads all of it; new statistics end that plan at once.
      analyzeAfter = written * 2;
      await database.run(sql`analyze search_documents, search_words`);
    },

    async delete(ids) {
      if (ids.length > 0) await database.run(sql`delete from search_documents where index_name = ${index} and id = any(${ids}::text[])`);
    },

    async query(query) {
      const typed = query.text === undefined || query.text.trim() === "" ? undefined : queryWords(query.text);
      if (typed === undefined && query.sort.some(({ by }) => by === "relevance"))
        throw refuse({
          reason: "INVALID_REQUEST",
          code: "invalid_argument",
          message: "Sorting by relevance needs a text to be relevant to.",
        });
      const from = query.cursor === undefined ? undefined : decodeCursor(index, query, query.cursor, keyCountOf(query));
      if (typed?.length === 0 || Object.values(query.keywords ?? {}).some((values) => values.length === 0)) return nothing(query);

      const want =
        typed === undefined ? undefined : from?.mended === undefined ? wanted(typed, await stems(typed)) : { words: from.mended };
      let asked: Asked = { index, query, want };
      let rows = await database.rows<PageRow>(pageSql(asked, from));
      let mended: Wanted["words"] | undefined = from?.mended;
      if (rows.length === 0 && typed !== undefined && from === undefined) {
        mended = await mend(database, stems, index, typed);
        if (mended !== undefined) {
          asked = { index, query, want: { words: mended } };
          rows = await database.rows<PageRow>(pageSql(asked, undefined));
        }
      }

      const shown = rows.slice(0, query.limit);
      const last = shown.at(-1);
      const facets = await countFacets(database, asked);
      const ids = shown.map(({ id }) => id);
      if (rows.length <= query.limit || last === undefined) return { ids, facets };
      const keys = Array.from({ length: keyCountOf(query) }, (_, at) => String(last[`k${at}`]));
      return { ids, facets, cursor: encodeCursor(index, query, { keys, id: last.id, ...(mended === undefined ? {} : { mended }) }) };
    },

    async clear() {
      // The words stay: without documents they mend nothing, and a put that runs meanwhile relies on them.
      await database.run(sql`delete from search_documents where index_name = ${index}`);
    },
  };
}

async function putSome(database: Database, stems: Stems, index: string, documents: readonly SearchDocument[]): Promise<void> {
  const words = documents.map(documentWords);
  const distinct = new Set(words.flatMap(({ a, b, c }) => [...a, ...b, ...c]));
  const stemOf = await stems(distinct);
  await learn(database, index, distinct);
  await database.run(sql`
    insert into search_documents as stored (index_name, id, version, title_words, numbers, keywords, terms)
    select ${index}, id, version, title_words, numbers::jsonb, keywords::jsonb, terms::tsvector
    from unnest(
      ${documents.map(({ id }) => id)}::text[], ${documents.map(({ version }) => version)}::bigint[],
      ${words.map(({ a }) => a.length)}::int[], ${documents.map(({ numbers }) => JSON.stringify(ascending(numbers)))}::text[],
      ${documents.map(({ keywords }) => JSON.stringify(storable(keywords)))}::text[],
      ${documents.map((document, at) => documentTerms(index, document, words[at]!, stemOf))}::text[])
      as new (id, version, title_words, numbers, keywords, terms)
    on conflict (index_name, id) do update set version = excluded.version, title_words = excluded.title_words,
      numbers = excluded.numbers, keywords = excluded.keywords, terms = excluded.terms
    where stored.version < excluded.version`);
}

/** Sorted by id, so that two who write the same documents wait for each other in one order. */
function newestOfEach(documents: readonly SearchDocument[]): SearchDocument[] {
  const newest = new Map<string, SearchDocument>();
  for (const document of documents)
    if ((newest.get(document.id)?.version ?? -Infinity) < document.version) newest.set(document.id, document);
  return [...newest.values()].toSorted((one, other) => (one.id < other.id ? -1 : 1));
}

function ascending(numbers: SearchDocument["numbers"]): SearchDocument["numbers"] {
  return Object.fromEntries(
    Object.entries(numbers).map(([name, some]) => [name, [...new Set(some)].toSorted((one, other) => one - other)]),
  );
}

function storable(keywords: SearchDocument["keywords"]): SearchDocument["keywords"] {
  return Object.fromEntries(Object.entries(keywords).map(([name, values]) => [name, [...new Set(values.map(plain))]]));
}

async function countFacets(database: Database, asked: Asked): Promise<SearchResult["facets"]> {
  const names = asked.query.facets ?? [];
  const facets: Record<string, { value: string; count: number }[]> = Object.fromEntries(names.map((name) => [name, []]));
  if (names.length === 0) return facets;
  const rows = await database.rows<{ name: string; value: string; count: number }>(facetsSql(asked, names, facetValuesMax));
  for (const { name, value, count } of rows) facets[name]?.push({ value, count });
  return facets;
}

function nothing({ facets = [] }: SearchQuery): SearchResult {
  return { ids: [], facets: Object.fromEntries(facets.map((name) => [name, []])) };
}
