import type { Database } from "../database/database.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import { addWords, correctSpelling } from "./spelling.ts";
import { copiedPage } from "./copied-page.ts";
import { createIndexCopy } from "./index-copy.ts";
import type { IndexCopy } from "./index-copy.ts";
import { ascending } from "./numbers.ts";
import { nothingFound, pageOf, readQuery } from "./read-query.ts";
import { keyCountOf } from "./search-cursor.ts";
import type { Position } from "./search-cursor.ts";
import { facetsSql, pageSql } from "./search-sql.ts";
import type { IndexQuery, PageRow } from "./search-sql.ts";
import type { IndexLost, Search, SearchDocument, SearchIndex, SearchResult } from "./search.ts";
import { createStems } from "./stems.ts";
import type { Stems } from "./stems.ts";
import { documentTerms, documentWords, plain, textQuery, wordsFormat } from "./terms.ts";
import type { TextQuery } from "./terms.ts";

/** The tables that the service's database needs for it. */
export const searchMigrations: MigrationSet = { scope: "search", folder: new URL("./migrations/", import.meta.url) };

const putAtOnce = 200;
const facetValuesMax = 100;
const copiedMaxByDefault = 100_000;
/** Of how many matches facets are counted in an index that is too large to be copied: whoever requests them decides neither how many match nor how often. */
const countedMax = 10_000;
const analyzeFirstAfter = 500;

export interface PostgresSearchOptions {
  readonly database: Database;
  /**
   * How many documents an index may have whose facets are counted in a copy in memory: 100,000 by default, which take about 35 MB. Facets of
   * larger ones are counted by PostgreSQL, each time from the beginning, over 10,000 matches at most.
   */
  readonly copiedMax?: number;
}

/**
 * Search in the service's own database, which never loses an index, but may have documents of an older version: that counts as lost. A usual query is one statement over one GIN index. A text with a word
 * that is in no document is searched for again with the nearest words. The first 16 words of a text count, and up to 100 values of a facet.
 */
export function createPostgresSearch({ database, copiedMax = copiedMaxByDefault }: PostgresSearchOptions): Search {
  const stems = createStems(database);
  return { index: (name, lost) => createIndex(database, stems, name, { copy: createIndexCopy(database, name, copiedMax), lost }) };
}

interface Found {
  readonly rows: readonly Position[];
  readonly facets: SearchResult["facets"];
}

interface IndexParts {
  readonly copy: IndexCopy;
  readonly lost: IndexLost | undefined;
}

function createIndex(database: Database, stems: Stems, index: string, { copy, lost }: IndexParts): SearchIndex {
  let written = 0;
  let analyzeAfter = analyzeFirstAfter;

  const put = async (documents: readonly SearchDocument[], same: "unchanged" | "replaced"): Promise<void> => {
    const newest = newestOfEach(documents);
    for (let at = 0; at < newest.length; at += putAtOnce)
      await putSome(database, stems, { index, documents: newest.slice(at, at + putAtOnce), same });
    written += newest.length;
    if (written < analyzeAfter) return;
    // A plan made while the table was small reads all of it; new statistics end that plan at once.
    analyzeAfter = written * 2;
    await database.run(sql`analyze search_documents, search_words`);
  };
  const checkFormat = formatCheck(database, index, lost);
  const remove = async (ids: readonly string[]): Promise<void> => {
    if (ids.length > 0) await database.run(deleteSql(index, sql`id = any(${ids}::text[])`));
  };
  const stemmed = async (words: TextQuery["words"]): Promise<TextQuery> => {
    const known = await stems(words.flat());
    return { words: words.map((alternatives) => alternatives.map((word) => known.get(word) || word)) };
  };

  const search = async (indexQuery: IndexQuery, from: Position | undefined): Promise<Found> => {
    const { query } = indexQuery;
    const names = query.facets ?? [];
    const matches = names.length === 0 ? undefined : await copy.matches(indexQuery);
    if (matches !== undefined) {
      const facets = names.map((name) => [name, matches.documents.facet(matches.slots, name, facetValuesMax)] as const);
      return { rows: copiedPage(matches, query, from), facets: Object.fromEntries(facets) };
    }
    const facetsOnly = query.limit === 0 && indexQuery.want === undefined;
    const rows = facetsOnly ? [] : await database.rows<PageRow>(pageSql(indexQuery, from));
    const keyed = rows.map((row) => ({ id: row.id, keys: Array.from({ length: keyCountOf(query) }, (_, at) => String(row[`k${at}`])) }));
    return { rows: keyed, facets: await countFacets(database, indexQuery, names, copy.tooLarge) };
  };

  return {
    put: (documents) => put(documents, "unchanged"),
    delete: remove,

    async query(query) {
      const { typed, from, empty } = readQuery(index, query);
      if (empty) return nothingFound(query);
      await checkFormat();
      let corrected = from?.corrected;
      let want: TextQuery | undefined;
      if (corrected !== undefined) want = await stemmed(corrected);
      else if (typed !== undefined) want = textQuery(typed, await stems(typed.flat()));
      let found = await search({ index, query, want }, from);
      if (found.rows.length === 0 && typed !== undefined && from === undefined) {
        corrected = await correctSpelling(
          database,
          stems,
          index,
          typed.map(([word]) => word!),
        );
        if (corrected !== undefined) found = await search({ index, query, want: await stemmed(corrected) }, undefined);
      }
      return pageOf(index, query, { ...found, corrected });
    },

    // In place: queries find the former rows until the new ones are written, and what others write meanwhile has a later number.
    async rebuild(fill) {
      const { began } = await database.one<{ began: bigint }>(sql`select nextval('search_writes') as began`);
      await fill({ put: (documents) => put(documents, "replaced"), delete: remove });
      // The words stay: without documents they correct nothing, and a concurrent put relies on them.
      await database.run(deleteSql(index, sql`written < ${began}`));
    },
  };
}

/**
 * Once a process, by an index of just those: documents that an older version has written lack words that queries look for now. The number in the
 * statement is `wordsFormat`; the index is of the same.
 */
function formatCheck(database: Database, index: string, lost: IndexLost | undefined): () => Promise<void> {
  let checked: Promise<void> | undefined;
  const check = async (): Promise<void> => {
    const found = await database.maybe<{ written: bigint }>(sql`select written from search_documents
      where index_name = ${index} and format < 2 order by written desc limit 1`);
    if (found !== undefined) lost?.(`format-${wordsFormat}/${found.written}`);
  };
  return () => {
    if (lost === undefined) return Promise.resolve();
    return (checked ??= check().catch((error: unknown) => {
      checked = undefined;
      throw error;
    }));
  };
}

/** `same` says what happens to a document that is stored in the same version. */
async function putSome(
  database: Database,
  stems: Stems,
  {
    index,
    documents,
    same,
  }: { readonly index: string; readonly documents: readonly SearchDocument[]; readonly same: "unchanged" | "replaced" },
): Promise<void> {
  const words = documents.map(documentWords);
  const distinct = new Set(words.flatMap(({ a, b, c }) => [...a, ...b, ...c]));
  const stemOf = await stems(distinct);
  await addWords(database, index, distinct);
  await database.run(sql`
    insert into search_documents as stored (index_name, id, version, title_words, numbers, keywords, terms, written, format)
    select ${index}, id, version, title_words, numbers::jsonb, keywords::jsonb, terms::tsvector, nextval('search_writes'), ${wordsFormat}::int
    from unnest(
      ${documents.map(({ id }) => id)}::text[], ${documents.map(({ version }) => version)}::bigint[],
      ${words.map(({ a }) => a.length)}::int[], ${documents.map(({ numbers }) => JSON.stringify(ascending(numbers)))}::text[],
      ${documents.map(({ keywords }) => JSON.stringify(storable(keywords)))}::text[],
      ${documents.map((document, at) => documentTerms(index, document, words[at]!, stemOf))}::text[])
      as new (id, version, title_words, numbers, keywords, terms)
    on conflict (index_name, id) do update set version = excluded.version, title_words = excluded.title_words,
      numbers = excluded.numbers, keywords = excluded.keywords, terms = excluded.terms, written = excluded.written,
      format = excluded.format
    where stored.version < excluded.version + ${same === "replaced" ? 1 : 0}`);
}

/** They are locked by id, as those that are written are: in another order two transactions could wait for each other. */
function deleteSql(index: string, which: Sql): Sql {
  const locked = sql`select id from search_documents where index_name = ${index} and ${which} order by id for update`;
  return sql`delete from search_documents where index_name = ${index} and ${which} and id = any(array(${locked}))`;
}

/** Sorted by id, so that two transactions that write the same documents lock them in one order. */
function newestOfEach(documents: readonly SearchDocument[]): SearchDocument[] {
  const newest = new Map<string, SearchDocument>();
  for (const document of documents)
    if ((newest.get(document.id)?.version ?? -Infinity) < document.version) newest.set(document.id, document);
  return [...newest.values()].toSorted((one, other) => (one.id < other.id ? -1 : 1));
}

function storable(keywords: SearchDocument["keywords"]): SearchDocument["keywords"] {
  return Object.fromEntries(Object.entries(keywords).map(([name, values]) => [name, [...new Set(values.map(plain))]]));
}

async function countFacets(
  database: Database,
  indexQuery: IndexQuery,
  names: readonly string[],
  bounded: boolean,
): Promise<SearchResult["facets"]> {
  const facets: Record<string, { value: string; count: number }[]> = Object.fromEntries(names.map((name) => [name, []]));
  if (names.length === 0) return facets;
  const rows = await database.rows<{ name: string; value: string; count: number }>(
    facetsSql(indexQuery, names, { valuesMax: facetValuesMax, countedMax: bounded ? countedMax : undefined }),
  );
  for (const { name, value, count } of rows) facets[name]?.push({ value, count });
  return facets;
}
