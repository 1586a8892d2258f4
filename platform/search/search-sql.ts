import type { Sql } from "../database/sql.ts";
import { sql } from "../database/sql.ts";
import { absentNumber, boundsOf } from "./numbers.ts";
import type { Position } from "./search-cursor.ts";
import type { SearchQuery } from "./search.ts";
import { matchQuery, tierQueries } from "./terms.ts";
import type { TextQuery } from "./terms.ts";

/** A row of `pageSql`: the id, and the sort keys as k0, k1, … */
export type PageRow = { readonly id: string } & Readonly<Record<`k${number}`, bigint>>;

/** A query of an index; `want` is its text. */
export interface IndexQuery {
  readonly index: string;
  readonly query: SearchQuery;
  readonly want: TextQuery | undefined;
}

const comma = sql`, `;
const and = sql` and `;

/** One page after `from`, in order, with one row more than the limit when there is another page. */
export function pageSql(indexQuery: IndexQuery, from: Position | undefined): Sql {
  return indexQuery.query.sort[0]?.by === "relevance" && indexQuery.want !== undefined
    ? tieredPage(indexQuery, indexQuery.want, from)
    : page(indexQuery, matching(indexQuery), sortKeys(indexQuery), from);
}

/** How many of all matches have which keyword; with `countedMax`, of those among so many documents that match but for the ranges, whichever they are. */
export function facetsSql(
  indexQuery: IndexQuery,
  names: readonly string[],
  { valuesMax, countedMax }: { readonly valuesMax: number; readonly countedMax: number | undefined },
): Sql {
  const documents = sql`(select keywords, numbers from search_documents where ${matchingText(indexQuery)} limit ${countedMax ?? null}::bigint)`;
  return sql`
    select name, value, count from (
      select name, value, count(*)::int as count, row_number() over (partition by name order by count(*) desc, value collate "C") as rank
      from ${documents} as documents, unnest(${names}::text[]) as name, jsonb_array_elements_text(keywords -> name) as value
      where ${sql.join([sql`true`, ...ranges(indexQuery.query)], and)} group by name, value) as counted
    where rank <= ${valuesMax} order by name, rank`;
}

/**
 * A branch a tier. They run one after the other and only until the page is full, so that the many documents that have a
 * word somewhere are not read while titles fill the page.
 */
function tieredPage(indexQuery: IndexQuery, want: TextQuery, from: Position | undefined): Sql {
  const { index, query } = indexQuery;
  const [, , ...laterKeys] = sortKeys(indexQuery);
  const tiers = tierQueries(index, want, query.keywords);
  const first = Math.min(Number(from?.keys[0] ?? 0), tiers.length - 1);
  const branches = tiers.flatMap((tier, depth) => {
    if (depth < first) return [];
    const keys = [sql`${depth}::bigint`, sql`title_words::bigint`, ...laterKeys];
    const where = sql.join([sql`terms @@ (select ${tier}::tsquery)`, ...ranges(query)], and);
    return [sql`(${page(indexQuery, where, keys, depth === first ? from : undefined)})`];
  });
  return sql`select * from (${sql.join(branches, sql` union all `)}) as tiers limit ${query.limit + 1}`;
}

function page({ query }: IndexQuery, where: Sql, keys: readonly Sql[], from: Position | undefined): Sql {
  const names = [...keys.map((_, at) => sql.name(`k${at}`)), sql`id`];
  const selected = sql.join([...keys.map((key, at) => sql`${key} as ${names[at]}`), sql`id`], comma);
  if (from === undefined)
    return sql`select ${selected} from search_documents where ${where} order by ${sql.join(names, comma)} limit ${query.limit + 1}`;
  const after = sql.join([...from.keys.map((key) => sql`${key}::bigint`), sql`${from.id}`], comma);
  return sql`
    select ${selected} from search_documents where ${where} and (${sql.join([...keys, sql`id`], comma)}) > (${after})
    order by ${sql.join(names, comma)} limit ${query.limit + 1}`;
}

function matching(indexQuery: IndexQuery): Sql {
  return sql.join([matchingText(indexQuery), ...ranges(indexQuery.query)], and);
}

/** The text and the keywords of a query, which the index of terms finds. */
function matchingText({ index, query, want }: IndexQuery): Sql {
  const match = matchQuery(index, want, query.keywords);
  // In a sub-select its value is unknown to the planner, so that one plan serves all queries of this shape.
  return match === undefined ? sql`index_name = ${index}` : sql`terms @@ (select ${match}::tsquery)`;
}

function sortKeys({ index, query, want }: IndexQuery): Sql[] {
  return query.sort.flatMap((sort): Sql[] => {
    if (!("descending" in sort))
      return want === undefined ? [sql`0::bigint`, sql`0::bigint`] : [tierOf(index, want), sql`title_words::bigint`];
    const least = sql`(numbers -> ${sort.by}::text -> 0)::bigint`;
    return [sort.descending ? sql`coalesce(-${least}, ${absentNumber}::bigint)` : sql`coalesce(${least}, ${absentNumber}::bigint)`];
  });
}

function tierOf(index: string, want: TextQuery): Sql {
  const tiers = tierQueries(index, want, undefined).map(
    (tier, depth) => sql`when terms @@ (select ${tier}::tsquery) then ${depth}::bigint`,
  );
  return sql`case ${sql.join(tiers, sql` `)} end`;
}

/** Most documents have one number a field, so its least mostly decides. Of several, those between least and greatest are checked last. */
function ranges({ ranges: wanted = {} }: SearchQuery): Sql[] {
  return Object.entries(wanted).map(([field, range]) => {
    const numbers = sql`numbers -> ${field}::text`;
    const { from, to } = boundsOf(range);
    return sql`case
      when (${numbers} -> 0)::bigint > ${to}::bigint then false
      when (${numbers} -> 0)::bigint >= ${from}::bigint then true
      when (${numbers} -> -1)::bigint < ${from}::bigint then false
      else exists (select from jsonb_array_elements(${numbers}) as number where number::bigint between ${from}::bigint and ${to}::bigint) end`;
  });
}
