import type { Sql } from "../database/sql.ts";
import { sql } from "../database/sql.ts";
import type { CopiedDocument } from "./copied-documents.ts";
import type { IndexQuery } from "./search-sql.ts";
import type { SearchQuery } from "./search.ts";
import { matchQuery, tierQueries } from "./terms.ts";

/** A recorded change of an index. */
export interface Revision {
  readonly revision: number;
  readonly tag: string;
  /** The changed documents; null for too many to name, and in the revision that was asked about. */
  readonly ids: readonly string[] | null;
}

/** What `newsSql` gives, as of one moment. */
export interface News {
  /** The one that was asked about, if it is still known, and those since, in order. */
  readonly revisions: readonly Revision[] | null;
  /** The documents of those since, as they are now; one that is missing was deleted. */
  readonly documents: readonly CopiedDocument[] | null;
  /** What matches the text, by the numbers that name contents: "12,7;;31", with semicolons between the tiers when sorted by relevance. */
  readonly found: string;
}

const revision = sql`json_build_object('revision', revision, 'tag', tag, 'ids', ids)`;
const document = sql`json_build_object('id', id, 'written', written, 'titleWords', title_words, 'keywords', keywords, 'numbers', numbers)`;

/** The latest revision, if there is one. */
export function latestRevisionSql(index: string): Sql {
  return sql`select revision::float8 as revision, tag::text as tag, ids from search_revisions
    where index_name = ${index} order by search_revisions.revision desc limit 1`;
}

/** The next documents of an index, by id. */
export function documentsSql(index: string, after: string, limit: number): Sql {
  return sql`select ${document} as document from search_documents where index_name = ${index} and id > ${after} order by id limit ${limit}`;
}

/** Whether a query's matches are needed by their tiers of relevance. */
export function isRanked({ sort }: SearchQuery): boolean {
  return sort.some(({ by }) => by === "relevance");
}

/** What has changed since a revision, and what matches a text: one statement, so that both are of one moment. */
export function newsSql({ index, query, want }: IndexQuery, since: number): Sql {
  return sql`
    with news as (
      select revision, tag, case when revision > ${since}::bigint then ids end as ids
      from search_revisions where index_name = ${index} and revision >= ${since}::bigint)
    select
      (select json_agg(${revision} order by news.revision) from news) as revisions,
      (select json_agg(${document}) from search_documents
        where index_name = ${index} and id = any(array(select unnest(ids) from news))) as documents,
      ${want === undefined ? sql`''` : foundBy(isRanked(query) ? tierQueries(index, want, undefined) : [matchQuery(index, want, undefined)!])} as found`;
}

/** By each of these tsqueries. */
function foundBy(tsqueries: readonly string[]): Sql {
  return sql.join(
    tsqueries.map(
      (tsquery) =>
        sql`coalesce((select string_agg(written::text, ',') from search_documents where terms @@ (select ${tsquery}::tsquery)), '')`,
    ),
    sql` || ';' || `,
  );
}
