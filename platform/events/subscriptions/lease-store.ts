import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
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

/**
 * Moves the checkpoint on from that of the lease and counts what was applied, in one statement. It comes last in the transaction of the effect, so
 * that the row is locked only briefly. Throws `LeaseLost` when the row's fence or position is another.
 */
export async function advance(queries: Queries, lease: Lease, to: Checkpoint, applied: number, leaseMs: number): Promise<void> {
  const moved = await queries.run(sql`
    update subscriptions
    set epoch = ${to.epoch}::int, xid = ${to.xid}::xid8, position = ${to.position}::bigint, offsets = ${to.offsets},
      applied = applied + ${applied}::int, lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = ${lease.name} and fence = ${lease.fence}::bigint
      and epoch = ${lease.epoch}::int and xid = ${lease.xid}::xid8 and position = ${lease.position}::bigint`);
  if (moved !== 1) throw new LeaseLost(lease.name);
}

/** The same for several leases at once. Throws `LeaseLost` when one of them is lost: the caller's transaction must then roll back. */
export async function advanceAll(
  queries: Queries,
  moves: readonly { readonly lease: Lease; readonly to: Checkpoint; readonly events: readonly unknown[] }[],
  leaseMs: number,
): Promise<void> {
  const of = <T>(pick: (move: (typeof moves)[number]) => T): T[] => moves.map(pick);
  const moved = await queries.run(sql`
    update subscriptions s
    set epoch = m.epoch, xid = m.xid, position = m.position, offsets = m.offsets, applied = s.applied + m.applied,
      lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from unnest(
      ${of(({ lease }) => lease.name)}::text[], ${of(({ lease }) => lease.fence)}::bigint[],
      ${of(({ lease }) => lease.epoch)}::int[], ${of(({ lease }) => lease.xid)}::xid8[], ${of(({ lease }) => lease.position)}::bigint[],
      ${of(({ to }) => to.epoch)}::int[], ${of(({ to }) => to.xid)}::xid8[], ${of(({ to }) => to.position)}::bigint[],
      ${of(({ to }) => to.offsets)}::text[], ${of(({ events }) => events.length)}::int[]
    ) as m (name, fence, from_epoch, from_xid, from_position, epoch, xid, position, offsets, applied)
    where s.name = m.name and s.fence = m.fence and s.epoch = m.from_epoch and s.xid = m.from_xid and s.position = m.from_position`);
  if (moved !== moves.length) throw new LeaseLost(moves.map(({ lease }) => lease.name).join(", "));
}
