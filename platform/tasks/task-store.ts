import type { Database, Queries, Transaction } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Sql } from "../database/sql.ts";
import type { Call } from "../call/call.ts";

/** A task as it is written. */
export interface TaskRow {
  readonly id: string;
  readonly queue: string;
  readonly key: string;
  readonly type: string;
  readonly payload: Uint8Array;
  readonly dueAt: Date;
}

/** A task that is to be written, with what led to it. */
export interface CausedTask extends TaskRow {
  readonly call: Call;
}

/** What names a claim: whoever writes about the task shows it, and writes nothing when somebody else has claimed since. */
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

/** How many tasks of a queue are wanted, and how long they are leased. `room` 0 only asks when the next one is due. */
export interface ClaimRequest {
  readonly queue: string;
  readonly room: number;
  readonly leaseMs: number;
}

/** The insert of tasks; one with a key that its queue knows is not made. */
export function insertTasks(tasks: readonly CausedTask[], now: Date): Sql {
  return sql`
    insert into tasks (id, queue, key, type, payload, due_at, correlation, trace, causation, created_at)
    select id, queue, key, type, payload, due_at, correlation, trace, causation, ${now}::timestamptz
    from unnest(
      ${tasks.map((task) => task.id)}::text[], ${tasks.map((task) => task.queue)}::text[], ${tasks.map((task) => task.key)}::text[],
      ${tasks.map((task) => task.type)}::text[], ${tasks.map((task) => task.payload)}::bytea[],
      ${tasks.map((task) => task.dueAt)}::timestamptz[], ${tasks.map(({ call }) => call.correlation)}::text[],
      ${tasks.map(({ call }) => `${call.trace.traceId}-${call.trace.spanId}`)}::text[], ${tasks.map(({ call }) => call.causation ?? null)}::text[]
    ) as new (id, queue, key, type, payload, due_at, correlation, trace, causation)
    on conflict do nothing`;
}

/**
 * Claims due tasks of several queues, to begin them here or to send them to whoever begins them, and says when the next one after them is
 * due. One statement; it writes the rows by the place where it has locked them, because with a join a plan that was made while the table was
 * small scans it whole, long after it has grown.
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
 * been begun, moved, skipped or sent anew since are left out.
 */
export async function beginTasks(queries: Queries, messages: readonly Claim[], leaseMs: number): Promise<ClaimedTask[]> {
  const rows = await queries.rows<Omit<ClaimedTask, "dueAt"> & { readonly due_at: Date }>(sql`
    update tasks set attempts = attempts + 1, sent = false, fence = fence + 1,
      lease_until = clock_timestamp() + interval '1 millisecond' * ${leaseMs}::integer
    where ${stillOurs(messages)} and state = 'waiting' and sent
    returning id, queue, key, type, payload, due_at, attempts, fence, correlation, trace`);
  return rows.map(({ due_at: dueAt, ...row }) => ({ ...row, dueAt }));
}

/** Makes the leases of tasks that run last so long from now; gives the ids of those whose claim is still good. */
export async function renewTasks(queries: Queries, claims: readonly Claim[], leaseMs: number): Promise<string[]> {
  const rows = await queries.rows<{ id: string }>(sql`
    update tasks set lease_until = clock_timestamp() + interval '1 millisecond' * ${leaseMs}::integer
    where ${stillOurs(claims)} and state = 'waiting' and not sent
    returning id`);
  return rows.map((row) => row.id);
}

/** Takes back what was to be sent and was not, so that it is due again at once. What has been begun all the same stays so. */
export function unsendTasks(queries: Queries, messages: readonly Claim[]): Promise<number> {
  return queries.run(sql`update tasks set sent = false, lease_until = null, fence = fence + 1 where ${stillOurs(messages)} and sent`);
}

/** Marks tasks as done, those whose claim is still good; gives their ids. */
export async function finishTasks(queries: Queries, claims: readonly Claim[], now: Date): Promise<string[]> {
  const rows = await queries.rows<{ id: string }>(sql`
    update tasks set state = 'done', ended_at = ${now}, lease_until = null, fence = fence + 1, cause = null
    where ${stillOurs(claims)}
    returning id`);
  return rows.map((row) => row.id);
}

/** The rows of claims that are still good. They wait: whatever ends a task raises its fence. */
function stillOurs(claims: readonly Claim[]): Sql {
  const ids = claims.map((claim) => claim.id);
  const fences = claims.map((claim) => claim.fence);
  return sql`id = any (${ids}::text[]) and exists (
    select from unnest(${ids}::text[], ${fences}::integer[]) as ours (id, fence) where ours.id = tasks.id and ours.fence = tasks.fence)`;
}

/** Makes a claimed task due again with its attempts counted anew; false when the claim is no longer good. */
export async function continueTask(queries: Queries, claim: Claim, dueAt: Date): Promise<boolean> {
  const touched = await queries.run(sql`
    update tasks set due_at = ${dueAt}, attempts = 0, lease_until = null, fence = fence + 1, cause = null
    where id = ${claim.id} and fence = ${claim.fence} and state = 'waiting'`);
  return touched === 1;
}

/** Writes down a failed try: due again then, or dead; false when the claim is no longer good. */
export async function failTask(
  queries: Queries,
  claim: Claim,
  failure: { readonly cause: string; readonly dueAt: Date } | { readonly cause: string; readonly deadAt: Date },
): Promise<boolean> {
  const ours = sql`where id = ${claim.id} and fence = ${claim.fence} and state = 'waiting'`;
  const touched = await queries.run(
    "deadAt" in failure
      ? sql`
        update tasks set state = 'dead', ended_at = ${failure.deadAt}, lease_until = null, fence = fence + 1, cause = ${failure.cause}
        ${ours}`
      : sql`update tasks set due_at = ${failure.dueAt}, lease_until = null, fence = fence + 1, cause = ${failure.cause} ${ours}`,
  );
  return touched === 1;
}

/** Gives claims back as if they had not been made, so that another process takes them at once. */
export function releaseTasks(queries: Queries, claims: readonly Claim[]): Promise<number> {
  return queries.run(sql`
    update tasks set lease_until = null, attempts = greatest(attempts - 1, 0), fence = fence + 1
    where ${stillOurs(claims)}`);
}

/** Moves a waiting task's due time, also when it was sent and nobody has begun it; a done, dead or running one stays as it is. */
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

/** Deletes tasks that were done before then, at most `limit`; gives how many. */
export function sweepTasks(database: Database, before: Date, limit: number): Promise<number> {
  return database.run(sql`
    delete from tasks where ctid = any (array(
      select ctid from tasks where state = 'done' and ended_at < ${before} order by ended_at limit ${limit} for update skip locked
    ))`);
}
