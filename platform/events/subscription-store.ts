import type { Database, Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import type { Place } from "./place.ts";

/** Notified in a subscriber's database when a lease has become free or an operator has acted. */
export const leaseChannel = "kontor_subscriptions";

/** The right to move one subscription, as it was taken: void as soon as another fence stands in the row. */
export interface Lease extends Place {
  readonly name: string;
  readonly fence: bigint;
}

/** Thrown inside a transaction of a subscriber that no longer holds its lease, so that it rolls back. */
export class LeaseLost extends Error {
  constructor(name: string) {
    super(`another holder or an operator has taken ${name}`);
    this.name = "LeaseLost";
  }
}

/** A new subscription starts at the beginning of its publisher's log. */
export async function registerSubscriptions(
  database: Database,
  subscriptions: readonly { readonly name: string; readonly publisher: string }[],
): Promise<void> {
  const names = subscriptions.map(({ name }) => name);
  const publishers = subscriptions.map(({ publisher }) => publisher);
  await database.run(sql`
    insert into subscriptions (name, publisher) select * from unnest(${names}::text[], ${publishers}::text[])
    on conflict (name) do nothing`);
}

/** Takes those that are free, whose lease ran out, or that this owner had. Each gets a new fence. */
export function takeLeases(database: Database, owner: string, names: readonly string[], leaseMs: number): Promise<Lease[]> {
  return database.rows<Lease>(sql`
    update subscriptions
    set fence = fence + 1, lease_owner = ${owner}, lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = any (${names}::text[]) and (lease_owner is null or lease_owner = ${owner} or lease_until < now())
    returning name, fence, epoch, xid, position::text as position`);
}

/** Makes leases last longer; gives the names of those still held. */
export async function renewLeases(database: Database, leases: readonly Lease[], leaseMs: number): Promise<string[]> {
  const names = leases.map(({ name }) => name);
  const fences = leases.map(({ fence }) => fence);
  const rows = await database.rows<{ name: string }>(sql`
    update subscriptions s set lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from unnest(${names}::text[], ${fences}::bigint[]) as held (name, fence)
    where s.name = held.name and s.fence = held.fence
    returning s.name`);
  return rows.map(({ name }) => name);
}

/** Gives leases back, with the places reached since the last write. */
export async function releaseLeases(database: Database, leases: readonly Lease[]): Promise<void> {
  await database.run(sql`
    update subscriptions s
    set lease_owner = null, lease_until = null, epoch = held.epoch, xid = held.xid, position = held.position
    from unnest(
      ${leases.map(({ name }) => name)}::text[], ${leases.map(({ fence }) => fence)}::bigint[],
      ${leases.map(({ epoch }) => epoch)}::int[], ${leases.map(({ xid }) => xid)}::xid8[], ${leases.map(({ position }) => position)}::bigint[]
    ) as held (name, fence, epoch, xid, position)
    where s.name = held.name and s.fence = held.fence`);
}

/**
 * Moves the place from where the lease stands and counts what was applied, in one statement: last in the transaction of the effect, so that
 * the row is locked for a moment only. Throws `LeaseLost` when the fence or the place is another.
 */
export async function advance(queries: Queries, lease: Lease, to: Place, applied: number, leaseMs: number): Promise<void> {
  const moved = await queries.run(sql`
    update subscriptions
    set epoch = ${to.epoch}::int, xid = ${to.xid}::xid8, position = ${to.position}::bigint, applied = applied + ${applied}::int,
      lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = ${lease.name} and fence = ${lease.fence}::bigint
      and epoch = ${lease.epoch}::int and xid = ${lease.xid}::xid8 and position = ${lease.position}::bigint`);
  if (moved !== 1) throw new LeaseLost(lease.name);
}

/** A subscription's row, and how many events it has parked. */
export interface SubscriptionRow extends Place {
  readonly name: string;
  readonly publisher: string;
  readonly applied: number;
  readonly skipped: number;
  readonly parked: number;
}

/** The rows of all subscriptions of a service, by name. */
export async function subscriptionRows(queries: Queries): Promise<SubscriptionRow[]> {
  const rows = await queries.rows<SubscriptionRow>(sql`
    select name, publisher, epoch, xid, position::text as position, applied::float8 as applied, skipped::float8 as skipped,
      (select count(*) from parked_events p where p.subscription = s.name)::float8 as parked
    from subscriptions s order by name`);
  return rows;
}
