import { connectClient } from "../database/client.ts";
import type { Connection } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { afterTests } from "../testing/postgres.ts";

/** A table that each effect writes one row of, and the column that has the command's key. */
export interface Written {
  readonly table: string;
  readonly column: string;
}

/** What others do to a database while commands write to it. */
export interface Interference {
  /** Makes PostgreSQL refuse rows of this key until the returned function is called. */
  refuse(key: string): Promise<() => Promise<void>>;
  /** Holds what is written of this key, as somebody's lock on its row does, until the returned function is called. */
  hold(key: string): Promise<() => Promise<void>>;
  /** Resolves when so many sessions wait for a lock. */
  blocked(sessions: number): Promise<void>;
  /** Ends the sessions that wait for a lock. */
  killBlocked(): Promise<void>;
  /** Ends all sessions of the services. */
  killAll(): Promise<void>;
  /** How many statements have written to the table, and how many commits have made the rows of these keys. */
  statements(): Promise<number>;
  commits(keys: readonly string[]): Promise<number>;
}

/** Prepares a database whose tables are there. `observer` is a view of it that the services do not share. */
export async function interfere(observer: Database, connection: Connection, { table, column }: Written): Promise<Interference> {
  const [name, key] = [sql.name(table), sql.name(column)];
  for (const statement of [
    sql`create table interference (key text primary key, refused boolean not null)`,
    sql`create sequence written_statements`,
    sql`create function interfere() returns trigger language plpgsql as
      'declare
        found_refused boolean := (select refused from interference where key = to_jsonb(new) ->> tg_argv[0]);
      begin
        if found_refused then raise exception ''refused by the test''; end if;
        if found_refused = false then perform pg_advisory_xact_lock(hashtext(to_jsonb(new) ->> tg_argv[0])); end if;
        return new;
      end'`,
    sql`create function count_statement() returns trigger language plpgsql as 'begin perform nextval(''written_statements''); return null; end'`,
    sql`create trigger interfere before insert or update on ${name} for each row execute function interfere(${key})`,
    sql`create trigger count_statement after insert or update on ${name} for each statement execute function count_statement()`,
  ])
    await observer.run(statement);
  const holder = await connectClient(connection);
  afterTests(() => holder.end());
  const forget = (of: string) => observer.run(sql`delete from interference where key = ${of}`);
  const waiting = sql`datname = current_database() and wait_event_type = 'Lock'`;
  const kill = async (which: typeof waiting) =>
    void (await observer.rows(sql`select pg_terminate_backend(pid, 5000) from pg_stat_activity where ${which}`));
  return {
    refuse: async (of) => {
      await observer.run(sql`insert into interference values (${of}, true)`);
      return async () => void (await forget(of));
    },
    hold: async (of) => {
      await holder.query("select pg_advisory_lock(hashtext($1))", [of]);
      await observer.run(sql`insert into interference values (${of}, false)`);
      return async () => {
        await forget(of);
        await holder.query("select pg_advisory_unlock(hashtext($1))", [of]);
      };
    },
    blocked: async (sessions) => {
      const seen = () => observer.one<{ count: number }>(sql`select count(*)::int as count from pg_stat_activity where ${waiting}`);
      while ((await seen()).count < sessions);
    },
    killBlocked: () => kill(waiting),
    killAll: () => kill(sql`datname = current_database() and application_name like 'kontor %' and application_name <> 'kontor observer'`),
    statements: async () => (await observer.one<{ count: number }>(sql`select last_value::int as count from written_statements`)).count,
    commits: async (keys) =>
      (
        await observer.one<{ count: number }>(
          sql`select count(distinct xmin::text)::int as count from ${name} where ${key} = any(${keys}::text[])`,
        )
      ).count,
  };
}
