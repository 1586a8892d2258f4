import type { Call } from "../call/call.ts";
import type { Database, Queries, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import type { EventLog, NewEvents } from "../events/events.ts";
import type { NewTask, Tasks } from "../tasks/tasks.ts";

export interface WriteSeams {
  readonly events: Pick<EventLog, "appendSql" | "wake">;
  readonly tasks: Pick<Tasks, "addSql" | "wake">;
}

export interface Writing {
  /** Inserts or updates rows, those that may be written, and returns the `id` of each that was. */
  readonly state: Sql;
  /** Each stream is named after its row. */
  readonly streams: readonly NewEvents[];
  /** Each is `of` a row. */
  readonly tasks?: readonly NewTask[];
  /** The cause of the streams and tasks that have none of their own. */
  readonly call: Call;
}

/**
 * Writes the state of many things with their events and tasks: one statement, one commit. Returns the ids of the rows that `state` has written.
 * The others, which are there already or have another version, get neither events nor tasks.
 */
export async function writeAll(
  { database, ...seams }: WriteSeams & { readonly database: Pick<Database, "rows"> },
  writing: Writing,
): Promise<ReadonlySet<string>> {
  const ids = await write(database, seams, writing);
  if (ids.size > 0) wake(seams, writing);
  return ids;
}

/** The same inside a transaction. */
export async function writeAllIn(tx: Transaction, seams: WriteSeams, writing: Writing): Promise<ReadonlySet<string>> {
  const ids = await write(tx, seams, writing);
  tx.afterCommit(() => wake(seams, writing));
  return ids;
}

async function write(
  queries: Pick<Queries, "rows">,
  { events, tasks }: WriteSeams,
  { state, streams, tasks: work = [], call }: Writing,
): Promise<ReadonlySet<string>> {
  const written = sql`select id from written`;
  const tasked = work.length > 0 ? sql`, tasked as (${tasks.addSql(call, work, written)})` : sql``;
  // A division by zero when a row and its events are not at one version: only an error keeps the statement from being committed.
  const rows = await queries.rows<{ id: string }>(
    sql`with written as (${state}), recorded as (${events.appendSql(call, streams, written)})${tasked}
      select id, 1 / ((select count(*) from recorded) = (
        select sum(events) from unnest(${streams.map(({ stream }) => stream)}::text[], ${streams.map(({ events: happened }) => happened.length)}::int[])
          as expected (stream, events) where stream in (${written})
      ))::int as complete from written`,
  );
  return new Set(rows.map(({ id }) => id));
}

function wake({ events, tasks }: WriteSeams, { streams, tasks: work = [] }: Writing): void {
  events.wake(streams);
  for (const { dueAt } of work) tasks.wake(dueAt);
}
