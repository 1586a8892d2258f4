import type pg from "pg";

/** Prints which statements an order, or a search, is made of: how many of each, and their time in PostgreSQL. */
export async function printStatements(database: pg.Client, done: number): Promise<void> {
  const { rows } = await database.query<{ database: string; calls: number; ms: number; query: string }>(
    `select datname as database, calls::float8, total_exec_time::float8 as ms, left(regexp_replace(query, '\\s+', ' ', 'g'), 150) as query
     from pg_stat_statements join pg_database on pg_database.oid = dbid order by calls desc limit 60`,
  );
  for (const { database: name, calls, ms, query } of rows)
    console.log(
      `${(calls / done).toFixed(3).padStart(8)} each ${(ms / done).toFixed(3).padStart(8)} ms  ${name.replace("kontor_", "")}: ${query}`,
    );
}
