import type pg from "pg";

/** Prints which statements an order is made of: how many of each, and their time in PostgreSQL. */
export async function printStatements(database: pg.Client, orders: number): Promise<void> {
  const { rows } = await database.query<{ database: string; calls: number; ms: number; query: string }>(
    `select datname as database, calls::float8, total_exec_time::float8 as ms, left(regexp_replace(query, '\\s+', ' ', 'g'), 150) as query
     from pg_stat_statements join pg_database on pg_database.oid = dbid order by calls desc limit 60`,
  );
  for (const { database: name, calls, ms, query } of rows)
    console.log(
      `${(calls / orders).toFixed(3).padStart(8)} an order ${(ms / orders).toFixed(3).padStart(8)} ms  ${name.replace("kontor_", "")}: ${query}`,
    );
}
