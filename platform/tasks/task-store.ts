import type { Queries, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import { completeSql } from "../database/writes.ts";
import type { Writes } from "../database/writes.ts";
import type { Call } from "../call/call.ts";
import { formatTrace } from "../call/trace.ts";

/** A task as it is written. */
export interface TaskRow {
  readonly id: string;
  readonly queue: string;
  readonly key: string;
  readonly type: string;
  readonly payload: Uint8Array;
  readonly dueAt: Date;
}

/** A task that is to be written, with the call that caused it and the id of what it is about. */
export interface CausedTask extends TaskRow {
  readonly call: Call;
  readonly of?: string | undefined;
}

/** Identifies a claim: each write about the task names it, and changes nothing when another process has claimed the task since. */
export interface Claim {
  readonly id: string;
  readonly fence: number;
}

/** A task that this process has claimed. `attempts` counts this try, once it has begun. */
export interface ClaimedTask extends TaskRow, Claim {
  readonly attempts: number;
  readonly correlation: string;
  readonly trace: string;
}

/** How many tasks of a queue to claim, and how long they are leased. With `room` 0 only the next due time is read. */
export interface ClaimRequest {
  readonly queue: string;
  readonly room: number;
  readonly leaseMs: number;
}

/** The insert of tasks; one with a key that its queue has is not written, nor one that is about something which is not among those `written`. */
export function insertTasks(tasks: readonly CausedTask[], now: Date, written?: Sql): Sql {
  const about = written === undefined ? sql`` : sql`where new.of in (${written})`;
  return sql`
    insert into tasks (id, queue, key, type, payload, due_at, correlation, trace, causation, created_at)
    select id, queue, key, type, payload, due_at, correlation, trace, causation, ${now}::timestamptz
    from unnest(
      ${tasks.map((task) => task.id)}::text[], ${tasks.map((task) => task.queue)}::text[], ${tasks.map((task) => task.key)}::text[],
      ${tasks.map((task) => task.type)}::text[], ${tasks.map((task) => task.payload)}::bytea[],
      ${tasks.map((task) => task.dueAt)}::timestamptz[], ${tasks.map(({ call }) => call.correlation)}::text[],
      ${tasks.map(({ call }) => formatTrace(call.trace))}::text[], ${tasks.map(({ call }) => call.causation ?? null)}::text[],
      ${tasks.map((task) => task.of ?? null)}::text[]
    ) as new (id, queue, key, type, payload, due_at, correlation, trace, causation, of)
    ${about}
    on conflict do nothing`;
}

/**
 * Claims due tasks of several queues, to begin them here or to send them to the process that begins them, and returns the next due time after
 * them. One statement; it updates the rows by their `ctid`, because with a join a plan that was made while the table was small scans it whole,
 * long after it has grown.
 */
export async function claimTasks(
  queries: Queries,
  requests: readonly ClaimRequest[],
  now: Date,
  to: "begin" | "send" = "begin",
): Promise<{ claimed: ClaimedTask[]; nextDue: Date | undefined }> {
  const sent = to === "send";
  const rows = await queries.rows<ClaimedRow>(sql`
    with wanted as (
      select * from unnest(
        ${requests.map((request) => request.queue)}::text[], ${requests.map((request) => request.room)}::integer[],
        ${requests.map((request) => request.leaseMs)}::integer[]
      ) as wanted (queue, room, lease_ms)
    ), due as (
      select picked.ctid from wanted cross join lateral (
        select ctid from tasks
        where tasks.queue = wanted.queue and state = 'waiting' and due_at <= ${now}
          and (lease_until is null or lease_until < clock_timestamp())
        order by due_at limit wanted.room for update skip locked
      ) as picked
    ), claimed as (
      update tasks set attempts = attempts + ${sent ? 0 : 1}::integer, sent = ${sent}, fence = fence + 1,
        lease_until = clock_timestamp() + interval '1 millisecond' * (select lease_ms from wanted where wanted.queue = tasks.queue)
      where ctid = any (array(select ctid from due))
      returning tasks.id, queue, key, type, payload, due_at, attempts, fence, correlation, trace
    ), ahead as (
      select min(next.due_at) as next_due from wanted cross join lateral (
        select due_at from tasks where tasks.queue = wanted.queue and state = 'waiting' and due_at > ${now} order by due_at limit 1
      ) as next
    )
    select claimed.*, ahead.next_due from ahead left join claimed on true order by claimed.due_at, claimed.id`);
  const claimed: ClaimedTask[] = [];
  for (const { due_at: dueAt, next_due: _, ...row } of rows) if (row.id !== null && dueAt !== null) claimed.push({ ...row, dueAt });
  return { claimed, nextDue: rows[0]?.next_due ?? undefined };
}

type ClaimedRow = { readonly next_due: Date | null } & (
  | (Omit<ClaimedTask, "dueAt"> & { readonly due_at: Date })
  | { readonly id: null; readonly due_at: null }
);

/**
 * Begins tasks that were sent, under the fences that their messages carry: from here on they are leased to this process. Those that have
 * been begun, moved, skipped or sent again since are left out.
 */
export async function beginTasks(queries: Queries, messages: readonly Claim[], leaseMs: number): Promise<ClaimedTask[]> {
  const rows = await queries.rows<Omit<ClaimedTask, "dueAt"> & { readonly due_at: Date }>(sql`
    update tasks set attempts = attempts + 1, sent = false, fence = fence + 1,
      lease_until = clock_timestamp() + interval '1 millisecond' * ${leaseMs}::integer
    where ${validClaims(messages)} and state = 'waiting' and sent
    returning id, queue, key, type, payload, due_at, attempts, fence, correlation, trace`);
  return rows.map(({ due_at: dueAt, ...row }) => ({ ...row, dueAt }));
}

/** Renews the leases of running tasks from now on; returns the ids of those whose claim is still valid. */
export async function renewTasks(queries: Queries, claims: readonly Claim[], leaseMs: number): Promise<string[]> {
  const rows = await queries.rows<{ id: string }>(sql`
    update tasks set lease_until = clock_timestamp() + interval '1 millisecond' * ${leaseMs}::integer
    where ${validClaims(claims)} and state = 'waiting' and not sent
    returning id`);
  return rows.map((row) => row.id);
}

/** Makes tasks due again at once that were to be sent and were not. Those that have been begun nevertheless stay so. */
export function unsendTasks(queries: Queries, messages: readonly Claim[]): Promise<number> {
  return queries.run(sql`update tasks set sent = false, lease_until = null, fence = fence + 1 where ${validClaims(messages)} and sent`);
}

/** Marks tasks as done, those whose claim is still valid, and writes what `settle` gives for them; returns their ids. One statement. */
export async function finishTasks(
  queries: Queries,
  claims: readonly Claim[],
  now: Date,
  settle: (done: Sql) => Writes = () => ({ parts: [] }),
): Promise<string[]> {
  const finished = sql`finished as (
    update tasks set state = 'done', ended_at = ${now}, lease_until = null, fence = fence + 1, cause = null
    where ${validClaims(claims)}
    returning id)`;
  const { parts, complete } = settle(sql`select id from finished`);
  const rows = await queries.rows<{ id: string }>(
    sql`with ${sql.join([finished, ...parts])} select id, ${completeSql(complete)} as complete from finished`,
  );
  return rows.map((row) => row.id);
}

/** The rows of claims that are still valid. They are waiting: every end of a task raises its fence. */
function validClaims(claims: readonly Claim[]): Sql {
  const ids = claims.map((claim) => claim.id);
  const fences = claims.map((claim) => claim.fence);
  return sql`id = any (${ids}::text[]) and exists (
    select from unnest(${ids}::text[], ${fences}::integer[]) as claims (id, fence) where claims.id = tasks.id and claims.fence = tasks.fence)`;
}

/** Makes a claimed task due again with its attempts counted from zero; false when the claim is no longer valid. */
export async function continueTask(queries: Queries, claim: Claim, dueAt: Date): Promise<boolean> {
  const rowCount = await queries.run(sql`
    update tasks set due_at = ${dueAt}, attempts = 0, lease_until = null, fence = fence + 1, cause = null
    where id = ${claim.id} and fence = ${claim.fence} and state = 'waiting'`);
  return rowCount === 1;
}

/** Stores a failed try: due again then, or dead; false when the claim is no longer valid. */
export async function failTask(
  queries: Queries,
  claim: Claim,
  failure: { readonly cause: string; readonly dueAt: Date } | { readonly cause: string; readonly deadAt: Date },
): Promise<boolean> {
  const valid = sql`where id = ${claim.id} and fence = ${claim.fence} and state = 'waiting'`;
  const rowCount = await queries.run(
    "deadAt" in failure
      ? sql`
        update tasks set state = 'dead', ended_at = ${failure.deadAt}, lease_until = null, fence = fence + 1, cause = ${failure.cause}
        ${valid}`
      : sql`update tasks set due_at = ${failure.dueAt}, lease_until = null, fence = fence + 1, cause = ${failure.cause} ${valid}`,
  );
  return rowCount === 1;
}

/** Releases claims as if they had not been made, so that another process takes them at once. */
export function releaseTasks(queries: Queries, claims: readonly Claim[]): Promise<number> {
  return queries.run(sql`
    update tasks set lease_until = null, attempts = greatest(attempts - 1, 0), fence = fence + 1
    where ${validClaims(claims)}`);
}

/** Moves a waiting task's due time, also when it was sent and no process has begun it; a done, dead or running one stays as it is. */
export function moveTask(tx: Transaction, task: { readonly queue: string; readonly key: string; readonly dueAt: Date }): Promise<number> {
  return tx.run(sql`
    update tasks set due_at = ${task.dueAt}, sent = false, lease_until = null, fence = fence + sent::integer
    where queue = ${task.queue} and key = ${task.key} and state = 'waiting' and (lease_until is null or lease_until < clock_timestamp() or sent)`);
}

/** Whether any task of these queues is due and not yet at its end, running ones included. */
export async function anyTaskDue(queries: Queries, queues: readonly string[], now: Date): Promise<boolean> {
  const { due } = await queries.one<{ due: boolean }>(
    sql`select exists (select from tasks where queue = any (${queues}::text[]) and state = 'waiting' and due_at <= ${now}) as due`,
  );
  return due;
}
