import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { User } from "../call/call.ts";
import type { Trace } from "../call/trace.ts";
import type { StoredRefusal } from "./stored-refusal.ts";

/** What is stored of the call that began a saga. */
export interface StoredCall {
  readonly user?: User;
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
  readonly status: "RUNNING" | "UNDOING" | "DONE" | "REFUSED";
  readonly reply: Uint8Array | null;
  readonly refusal: StoredRefusal | null;
  readonly attempts: number;
}

export type StoredEnd = { readonly reply: Uint8Array } | { readonly refusal: StoredRefusal; readonly keepKey: boolean };

/** Where sagas are stored. Every method is one statement and its own transaction; those with a claim say whether it was still valid. */
export interface SagaStore {
  /** False when there is already one with this key, for this subject, or of this id. */
  begin(saga: NewSaga): Promise<boolean>;
  /** The sagas that prevent another from beginning: that of the key first, then that of the subject. */
  conflictsWith(saga: Pick<NewSaga, "id" | "name" | "subject" | "key">): Promise<SagaRow[]>;
  find(id: string): Promise<SagaRow | undefined>;
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

const columns = sql`id, name, subject, key, fingerprint, input, call, status, reply, refusal, fence, attempts`;
const later = (ms: number) => sql`clock_timestamp() + ${ms}::integer * interval '1 millisecond'`;
const live = sql`status in ('RUNNING', 'UNDOING')`;

/** Sagas in a service's own PostgreSQL. */
export function createSagaStore(database: Database): SagaStore {
  const changed = async (rowCount: Promise<number>) => (await rowCount) === 1;
  return {
    begin: (saga) =>
      changed(
        database.run(sql`
          insert into sagas (id, name, subject, key, fingerprint, input, call, owner, lease_until, created_at)
          values (${saga.id}, ${saga.name}, ${saga.subject ?? null}, ${saga.key ?? null}, ${saga.fingerprint}, ${saga.input},
            ${JSON.stringify(saga.call)}, ${saga.owner}, ${later(saga.leaseMs)}, ${saga.now})
          on conflict do nothing`),
      ),
    conflictsWith: ({ id, name, subject = null, key = null }) =>
      database.rows(sql`
        select ${columns} from sagas
        where key = ${key} or id = ${id} or (name = ${name} and subject = ${subject} and released_at is null and status <> 'REFUSED')
        order by coalesce(key = ${key}, false) desc, coalesce(subject = ${subject}, false) desc`),
    find: (id) => database.maybe(sql`select ${columns} from sagas where id = ${id}`),
    undo: ({ id, fence }, refusal) =>
      changed(
        database.run(sql`
          update sagas set status = 'UNDOING', refusal = ${JSON.stringify(refusal)}
          where id = ${id} and fence = ${fence} and status = 'RUNNING'`),
      ),
    end: ({ id, fence }, end, now) =>
      changed(
        database.run(
          "reply" in end
            ? sql`
              update sagas set status = 'DONE', reply = ${end.reply}, ended_at = ${now}, owner = null, lease_until = null
              where id = ${id} and fence = ${fence} and status = 'RUNNING'`
            : sql`
              update sagas set status = 'REFUSED', refusal = ${JSON.stringify(end.refusal)}, key = case when ${end.keepKey} then key end,
                ended_at = ${now}, owner = null, lease_until = null
              where id = ${id} and fence = ${fence} and ${live}`,
        ),
      ),
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
