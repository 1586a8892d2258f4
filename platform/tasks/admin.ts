import type { Database, Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { taskChannel } from "./task-wakeups.ts";

export type TaskState = "waiting" | "done" | "dead";

/** A task as an operator sees it. */
export interface ListedTask {
  readonly id: string;
  readonly queue: string;
  readonly key: string;
  readonly type: string;
  readonly state: TaskState;
  readonly running: boolean;
  readonly dueAt: Date;
  readonly attempts: number;
  /** Why the last try failed: a reason or a class of error. */
  readonly cause: string | undefined;
  readonly correlation: string;
  readonly createdAt: Date;
  readonly endedAt: Date | undefined;
}

/** How many tasks a queue has: `due` ones wait or run, `running` of them run; `oldestDueAt` is when the oldest became due. */
export interface QueueCounts {
  readonly queue: string;
  readonly scheduled: number;
  readonly due: number;
  readonly running: number;
  readonly dead: number;
  readonly oldestDueAt: Date | undefined;
}

/** The service's tasks in the order in which they are due; dead ones with the latest first. At most 100 by default. */
export async function listTasks(
  queries: Queries,
  filter: { readonly state: TaskState; readonly queue?: string; readonly limit?: number },
): Promise<ListedTask[]> {
  const { state, queue = null, limit = 100 } = filter;
  const order = state === "waiting" ? sql`due_at, id` : sql`ended_at desc, id`;
  const rows = await queries.rows<ListedRow>(sql`
    select id, queue, key, type, state, coalesce(lease_until > clock_timestamp() and not sent, false) as running, due_at, attempts,
      cause, correlation, created_at, ended_at
    from tasks where state = ${state} and (${queue}::text is null or queue = ${queue}) order by ${order} limit ${limit}`);
  return rows.map(({ due_at: dueAt, created_at: createdAt, ended_at: endedAt, cause, ...row }) => ({
    ...row,
    dueAt,
    createdAt,
    endedAt: endedAt ?? undefined,
    cause: cause ?? undefined,
  }));
}

type ListedRow = Omit<ListedTask, "dueAt" | "createdAt" | "endedAt" | "cause"> & {
  readonly due_at: Date;
  readonly created_at: Date;
  readonly ended_at: Date | null;
  readonly cause: string | null;
};

/** Makes a dead task due now, with its attempts counted from zero; false when there is no such dead task. Workers are notified. */
export async function replayTask(database: Database, id: string, now: Date): Promise<boolean> {
  const replayed = await database.run(sql`
    update tasks set state = 'waiting', due_at = ${now}, attempts = 0, lease_until = null, sent = false, fence = fence + 1, ended_at = null
    where id = ${id} and state = 'dead'`);
  if (replayed === 1) await database.notify(taskChannel);
  return replayed === 1;
}

/** Ends a dead or waiting task as done without running it, its cause stays stored; false when there is none, or when it runs right now. */
export async function skipTask(queries: Queries, id: string, now: Date): Promise<boolean> {
  const skipped = await queries.run(sql`
    update tasks set state = 'done', ended_at = ${now}, lease_until = null, sent = false, fence = fence + 1
    where id = ${id} and (state = 'dead' or state = 'waiting' and (lease_until is null or lease_until < clock_timestamp() or sent))`);
  return skipped === 1;
}

/** The counts of each queue with waiting or dead tasks, for the metrics. */
export async function countTasks(queries: Queries, now: Date): Promise<QueueCounts[]> {
  const rows = await queries.rows<CountedRow>(sql`
    select queue, count(*) filter (where state = 'waiting' and due_at > ${now})::integer as scheduled,
      count(*) filter (where state = 'waiting' and due_at <= ${now})::integer as due,
      count(*) filter (where state = 'waiting' and lease_until > clock_timestamp() and not sent)::integer as running,
      count(*) filter (where state = 'dead')::integer as dead,
      min(due_at) filter (where state = 'waiting' and due_at <= ${now}) as oldest_due_at
    from tasks where state = 'waiting' or state = 'dead' group by queue order by queue`);
  return rows.map(({ oldest_due_at: oldestDueAt, ...row }) => ({ ...row, oldestDueAt: oldestDueAt ?? undefined }));
}

type CountedRow = Omit<QueueCounts, "oldestDueAt"> & { readonly oldest_due_at: Date | null };
