import { sqlState } from "../../database/database.ts";
import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { Sql } from "../../database/sql.ts";
import { completeSql } from "../../database/writes.ts";
import type { Writes } from "../../database/writes.ts";
import type { Checkpoint } from "../checkpoint.ts";

/** Notified in a subscriber's database when a lease has become free or an operator has acted. */
export const leaseChannel = "kontor_subscriptions";

/** The right to advance one subscription, with the checkpoint last stored under it: void as soon as the row has another fence. */
export interface Lease extends Checkpoint {
  readonly name: string;
  readonly fence: bigint;
}

/** Thrown inside a transaction of a subscriber that no longer holds its lease, so that it rolls back. */
export class LeaseLost extends Error {
  constructor(name: string) {
    super(`another holder or an operator has taken the lease of ${name}`);
    this.name = "LeaseLost";
  }
}

/** The names of the leases that could be taken now. */
export async function freeLeases(database: Database, owner: string, names: readonly string[]): Promise<string[]> {
  const rows = await database.rows<{ name: string }>(sql`
    select name from subscriptions where name = any (${names}::text[]) and partitions = 0
      and (lease_owner is null or lease_owner = ${owner} or lease_until < now())`);
  return rows.map(({ name }) => name);
}

/**
 * Takes the leases that are free, have expired, or were this owner's. Each gets a new fence. The row of a subscription that has partitions is
 * never leased: the rows of its partitions are.
 */
export function takeLeases(database: Database, owner: string, names: readonly string[], leaseMs: number): Promise<Lease[]> {
  return database.rows<Lease>(sql`
    update subscriptions
    set fence = fence + 1, lease_owner = ${owner}, lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = any (${names}::text[]) and partitions = 0 and (lease_owner is null or lease_owner = ${owner} or lease_until < now())
    returning name, fence, epoch, xid, position::text as position, offsets`);
}

/** Extends leases; returns the names of those still held. An expired lease is lost even when no process has taken it yet. */
export async function renewLeases(database: Database, leases: readonly Lease[], leaseMs: number): Promise<string[]> {
  const names = leases.map(({ name }) => name);
  const fences = leases.map(({ fence }) => fence);
  const rows = await database.rows<{ name: string }>(sql`
    update subscriptions s set lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from unnest(${names}::text[], ${fences}::bigint[]) as held (name, fence)
    where s.name = held.name and s.fence = held.fence and s.lease_until >= now()
    returning s.name`);
  return rows.map(({ name }) => name);
}

/** Releases leases and stores the checkpoints that they carry. */
export async function releaseLeases(database: Database, leases: readonly Lease[]): Promise<void> {
  await database.run(sql`
    update subscriptions s
    set lease_owner = null, lease_until = null, epoch = held.epoch, xid = held.xid, position = held.position, offsets = held.offsets
    from unnest(
      ${leases.map(({ name }) => name)}::text[], ${leases.map(({ fence }) => fence)}::bigint[],
      ${leases.map(({ epoch }) => epoch)}::int[], ${leases.map(({ xid }) => xid)}::xid8[], ${leases.map(({ position }) => position)}::bigint[],
      ${leases.map(({ offsets }) => offsets)}::text[]
    ) as held (name, fence, epoch, xid, position, offsets)
    where s.name = held.name and s.fence = held.fence`);
}

/** Moves the checkpoint on from that of the lease and counts what was applied. Throws `LeaseLost` when the row's fence or position is another. */
export async function advance(queries: Queries, lease: Lease, to: Checkpoint, applied: number, leaseMs: number): Promise<void> {
  const moved = await queries.run(moveSql([{ lease, to, events: { length: applied } }], leaseMs));
  if (moved !== 1) throw new LeaseLost(lease.name);
}

/** A step of one subscription: from the checkpoint of its lease, over so many events that had their effect. */
export interface Move {
  readonly lease: Lease;
  readonly to: Checkpoint;
  readonly events: { readonly length: number };
}

/** SQLSTATE of the logarithm of zero, which nothing else computes. */
const lostState = "2201E";

/**
 * The last statement of a transaction that applies events: what `apply` has returned, and the checkpoints. It fails when a lease is lost: only an error keeps
 * the commit, sent right behind it, from being one.
 */
export function advanceSql({ parts = [], complete }: Partial<Writes> = {}, moves: readonly Move[], leaseMs: number): Sql {
  const advanced = sql`checkpoints as (${moveSql(moves, leaseMs)} returning 1)`;
  // A lost lease is told first: whoever has it may have applied the same events.
  return sql`with ${sql.join([...parts, advanced])}
    select ln(((select count(*) from checkpoints) = ${moves.length}::int)::int::float8) as held, ${completeSql(complete)} as complete`;
}

/** `LeaseLost` where that is why a statement of `advanceSql` has failed; any other error as it is. */
export function leaseLostOr(error: unknown, moves: readonly Move[]): unknown {
  return sqlState(error) === lostState ? new LeaseLost(moves.map(({ lease }) => lease.name).join(", ")) : error;
}

function moveSql(moves: readonly Move[], leaseMs: number): Sql {
  const of = <T>(pick: (move: Move) => T): T[] => moves.map(pick);
  return sql`
    update subscriptions s
    set epoch = m.epoch, xid = m.xid, position = m.position, offsets = m.offsets, applied = s.applied + m.applied,
      lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from unnest(
      ${of(({ lease }) => lease.name)}::text[], ${of(({ lease }) => lease.fence)}::bigint[],
      ${of(({ lease }) => lease.epoch)}::int[], ${of(({ lease }) => lease.xid)}::xid8[], ${of(({ lease }) => lease.position)}::bigint[],
      ${of(({ to }) => to.epoch)}::int[], ${of(({ to }) => to.xid)}::xid8[], ${of(({ to }) => to.position)}::bigint[],
      ${of(({ to }) => to.offsets)}::text[], ${of(({ events }) => events.length)}::int[]
    ) as m (name, fence, from_epoch, from_xid, from_position, epoch, xid, position, offsets, applied)
    where s.name = m.name and s.fence = m.fence and s.epoch = m.from_epoch and s.xid = m.from_xid and s.position = m.from_position`;
}
