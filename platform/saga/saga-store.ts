import { createBatch } from "../batch/batch.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { User } from "../call/call.ts";
import type { Trace } from "../call/trace.ts";
import type { StoredRefusal } from "./stored-refusal.ts";

/** What is stored of the call that began a saga. */
export interface StoredCall {
  readonly user?: User;
  readonly origin?: string;
  readonly correlation: string;
  readonly trace: Trace;
}

export interface NewSaga {
  readonly id: string;
  readonly name: string;
  readonly subject: string | undefined;
  readonly key: string | undefined;
  readonly fingerprint: string;
  readonly input: Uint8Array;
  readonly call: StoredCall;
  readonly owner: string;
  readonly leaseMs: number;
  readonly now: Date;
}

/** The claim that a write is made under: it changes nothing when another owner has taken the saga since. */
export interface SagaClaim {
  readonly id: string;
  readonly fence: bigint;
}

export interface SagaRow extends SagaClaim {
  readonly name: string;
  readonly subject: string | null;
  readonly key: string | null;
  readonly fingerprint: string;
  readonly input: Uint8Array;
  readonly call: StoredCall;
  readonly status: "RUNNING" | "UNDOING" | "DONE" | "REFUSED" | "JOINED";
  readonly reply: Uint8Array | null;
  readonly refusal: StoredRefusal | null;
  readonly attempts: number;
  /** For a key whose caller got another saga's result: that saga's id. */
  readonly joins: string | null;
}

/** A key whose caller got another saga's result: its reply, or null while that is running. */
export interface JoinedKey extends Pick<NewSaga, "id" | "name" | "fingerprint" | "call" | "now"> {
  readonly key: string;
  readonly joins: string;
  readonly reply: Uint8Array | null;
}

export type StoredEnd = { readonly reply: Uint8Array } | { readonly refusal: StoredRefusal; readonly keepKey: boolean };

/**
 * Where sagas are stored. Every method is one statement and its own transaction, which the sagas that begin or end at the same time share; those with
 * a claim say whether it was still valid.
 */
export interface SagaStore {
  /** False when there is already one with this key, for this subject, or of this id. */
  begin(saga: NewSaga): Promise<boolean>;
  /** The sagas that prevent another from beginning: that of the key first, then that of the subject. */
  conflictsWith(saga: Pick<NewSaga, "id" | "name" | "subject" | "key">): Promise<SagaRow[]>;
  /** False when the key is used. */
  join(joined: JoinedKey): Promise<boolean>;
  /** Frees a key that joined. */
  leave(id: string): Promise<void>;
  find(id: string): Promise<SagaRow | undefined>;
  /** Those that there are of these. */
  findAll(ids: readonly string[]): Promise<SagaRow[]>;
  /** Stores that it is to be undone, and why. */
  undo(claim: SagaClaim, refusal: StoredRefusal): Promise<boolean>;
  end(claim: SagaClaim, end: StoredEnd, now: Date): Promise<boolean>;
  /** Releases a live saga: any process takes it after the pause. */
  pause(claim: SagaClaim, pauseMs: number): Promise<boolean>;
  /** Renews leases from now on; returns the ids of those still held. */
  renew(claims: readonly SagaClaim[], leaseMs: number): Promise<string[]>;
  /** Takes live sagas whose lease or pause is over. */
  take(names: readonly string[], owner: string, leaseMs: number, limit: number): Promise<SagaRow[]>;
  /** Whether any has an owner, or could be taken now. */
  anyAtWork(names: readonly string[]): Promise<boolean>;
}

const columns = sql`id, name, subject, key, fingerprint, input, call, status, reply, refusal, fence, attempts, joins`;
const later = (ms: number) => sql`clock_timestamp() + ${ms}::integer * interval '1 millisecond'`;
const live = sql`status in ('RUNNING', 'UNDOING')`;

interface Ending {
  readonly claim: SagaClaim;
  readonly end: StoredEnd;
  readonly now: Date;
}

/** Sagas in a service's own PostgreSQL. */
export function createSagaStore(database: Database): SagaStore {
  const changed = async (rowCount: Promise<number>) => (await rowCount) === 1;
  const beginnings = createBatch<NewSaga, boolean>({
    name: "sagas.begin",
    execute: (items) =>
      insertSagas(
        database,
        items.map(({ request }) => request),
      ),
  });
  const endings = createBatch<Ending, boolean>({
    name: "sagas.end",
    keyOf: ({ claim }) => claim.id,
    execute: (items) =>
      endSagas(
        database,
        items.map(({ request }) => request),
      ),
  });
  return {
    begin: (saga) => beginnings.run(saga),
    conflictsWith: ({ id, name, subject = null, key = null }) =>
      database.rows(sql`
        select ${columns} from sagas
        where key = ${key} or id = ${id} or (name = ${name} and subject = ${subject} and released_at is null and status <> 'REFUSED')
        order by coalesce(key = ${key}, false) desc, coalesce(subject = ${subject}, false) desc`),
    join: ({ id, name, key, fingerprint, call, now, joins, reply }) =>
      changed(
        database.run(sql`
          insert into sagas (id, name, key, fingerprint, input, call, status, reply, created_at, ended_at, joins)
          values (${id}, ${name}, ${key}, ${fingerprint}, ''::bytea, ${JSON.stringify(call)}::jsonb, ${reply === null ? "JOINED" : "DONE"}, ${reply}::bytea,
            ${now}, ${now}, ${joins})
          on conflict do nothing`),
      ),
    async leave(id) {
      await database.run(sql`delete from sagas where id = ${id} and status = 'JOINED'`);
    },
    find: (id) => database.maybe(sql`select ${columns} from sagas where id = ${id}`),
    findAll: (ids) => database.rows(sql`select ${columns} from sagas where id = any (${ids}::text[])`),
    undo: ({ id, fence }, refusal) =>
      changed(
        database.run(sql`
          update sagas set status = 'UNDOING', refusal = ${JSON.stringify(refusal)}
          where id = ${id} and fence = ${fence} and status = 'RUNNING'`),
      ),
    end: (claim, end, now) => endings.run({ claim, end, now }),
    pause: ({ id, fence }, pauseMs) =>
      changed(
        database.run(sql`update sagas set owner = null, lease_until = ${later(pauseMs)} where id = ${id} and fence = ${fence} and ${live}`),
      ),
    async renew(claims, leaseMs) {
      const rows = await database.rows<{ id: string }>(sql`
        update sagas set lease_until = ${later(leaseMs)}
        from unnest(${claims.map((claim) => claim.id)}::text[], ${claims.map((claim) => claim.fence)}::bigint[]) as claims (id, fence)
        where sagas.id = claims.id and sagas.fence = claims.fence and ${live}
        returning sagas.id`);
      return rows.map((row) => row.id);
    },
    take: (names, owner, leaseMs, limit) =>
      database.rows(sql`
        with over as (
          select ctid from sagas where ${live} and lease_until <= clock_timestamp() and name = any (${names}::text[])
          order by lease_until limit ${limit} for update skip locked
        )
        update sagas set owner = ${owner}, fence = fence + 1, attempts = attempts + 1, lease_until = ${later(leaseMs)}
        where ctid = any (array(select ctid from over)) -- a join scans the whole table, when its plan was made while the table was small
        returning ${columns}`),
    async anyAtWork(names) {
      const { any } = await database.one<{ any: boolean }>(sql`
        select exists (
          select from sagas where ${live} and name = any (${names}::text[]) and (owner is not null or lease_until <= clock_timestamp())
        ) as any`);
      return any;
    },
  };
}

/** Says of each whether it was inserted. In the order of their keys, so that two batches seldom wait for each other; where they do, PostgreSQL refuses one, which is tried again. */
async function insertSagas(database: Database, sagas: readonly NewSaga[]): Promise<boolean[]> {
  const sorted = sagas.toSorted((a, b) => ((a.key ?? a.id) < (b.key ?? b.id) ? -1 : 1));
  const rows = await database.rows<{ id: string }>(sql`
    insert into sagas (id, name, subject, key, fingerprint, input, call, owner, lease_until, created_at)
    select id, name, subject, key, fingerprint, input, call::jsonb, owner, clock_timestamp() + lease_ms * interval '1 millisecond', created_at
    from unnest(
      ${sorted.map(({ id }) => id)}::text[], ${sorted.map(({ name }) => name)}::text[], ${sorted.map(({ subject }) => subject ?? null)}::text[],
      ${sorted.map(({ key }) => key ?? null)}::text[], ${sorted.map(({ fingerprint }) => fingerprint)}::text[], ${sorted.map(({ input }) => input)}::bytea[],
      ${sorted.map(({ call }) => JSON.stringify(call))}::text[], ${sorted.map(({ owner }) => owner)}::text[], ${sorted.map(({ leaseMs }) => leaseMs)}::int[],
      ${sorted.map(({ now }) => now)}::timestamptz[]
    ) as new (id, name, subject, key, fingerprint, input, call, owner, lease_ms, created_at)
    on conflict do nothing returning id`);
  const inserted = new Set(rows.map(({ id }) => id));
  return sagas.map(({ id }) => inserted.delete(id)); // of two with one id, one was
}

/** Says of each whether its claim was valid. */
async function endSagas(database: Database, endings: readonly Ending[]): Promise<boolean[]> {
  const sorted = endings.toSorted((a, b) => (a.claim.id < b.claim.id ? -1 : 1));
  const ids = sorted.map(({ claim }) => claim.id);
  const rows = await database.rows<{ id: string }>(sql`
    update sagas set status = case when e.reply is null then 'REFUSED' else 'DONE' end, reply = e.reply, refusal = coalesce(e.refusal::jsonb, sagas.refusal),
      key = case when e.keep_key then sagas.key end, ended_at = e.at, owner = null, lease_until = null
    from unnest(
        ${ids}::text[], ${sorted.map(({ claim }) => claim.fence)}::bigint[],
        ${sorted.map(({ end }) => ("reply" in end ? end.reply : null))}::bytea[],
        ${sorted.map(({ end }) => ("reply" in end ? null : JSON.stringify(end.refusal)))}::text[],
        ${sorted.map(({ end }) => "reply" in end || end.keepKey)}::boolean[], ${sorted.map(({ now }) => now)}::timestamptz[]
      ) as e (id, fence, reply, refusal, keep_key, at)
      join (select id from sagas where id = any(${ids}::text[]) order by id for no key update) locked on locked.id = e.id
    where sagas.id = e.id and sagas.fence = e.fence and (status = 'RUNNING' or (status = 'UNDOING' and e.reply is null))
    returning sagas.id`);
  const ended = new Set(rows.map(({ id }) => id));
  return endings.map(({ claim }) => ended.has(claim.id));
}
