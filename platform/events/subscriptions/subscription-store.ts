import type { Database, Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import { baseName, partOf } from "./partition-name.ts";
import { comparePlaces } from "../position.ts";
import type { Stand } from "../position.ts";
import { relayName } from "../log/relay-checkpoint.ts";

/** Notified in a subscriber's database when a lease has become free or an operator has acted. */
export const leaseChannel = "kontor_subscriptions";

/** The right to move one subscription, as it was taken: void as soon as another fence stands in the row. */
export interface Lease extends Stand {
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

/** A new subscription starts at the beginning of its publisher's log. Gives, by name, how many parts each has rows for: 0 when it is whole. */
export async function registerSubscriptions(
  database: Database,
  subscriptions: readonly { readonly name: string; readonly publisher: string }[],
): Promise<ReadonlyMap<string, number>> {
  const names = subscriptions.map(({ name }) => name);
  const publishers = subscriptions.map(({ publisher }) => publisher);
  await database.run(sql`
    insert into subscriptions (name, publisher) select * from unnest(${names}::text[], ${publishers}::text[])
    on conflict (name) do nothing`);
  const rows = await database.rows<{ name: string; parts: number }>(
    sql`select name, parts from subscriptions where name = any (${names}::text[])`,
  );
  return new Map(rows.map(({ name, parts }) => [name, parts]));
}

/** The names of those that could be taken now. */
export async function freeLeases(database: Database, owner: string, names: readonly string[]): Promise<string[]> {
  const rows = await database.rows<{ name: string }>(sql`
    select name from subscriptions where name = any (${names}::text[]) and parts = 0
      and (lease_owner is null or lease_owner = ${owner} or lease_until < now())`);
  return rows.map(({ name }) => name);
}

/** Takes those that are free, whose lease ran out, or that this owner had. Each gets a new fence. One that has parts is not taken: they are. */
export function takeLeases(database: Database, owner: string, names: readonly string[], leaseMs: number): Promise<Lease[]> {
  return database.rows<Lease>(sql`
    update subscriptions
    set fence = fence + 1, lease_owner = ${owner}, lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = any (${names}::text[]) and parts = 0 and (lease_owner is null or lease_owner = ${owner} or lease_until < now())
    returning name, fence, epoch, xid, position::text as position, mark`);
}

/** Makes leases last longer; gives the names of those still held. One that ran out is lost, though nobody has taken it yet. */
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

/** Gives leases back, with the places reached since the last write. */
export async function releaseLeases(database: Database, leases: readonly Lease[]): Promise<void> {
  await database.run(sql`
    update subscriptions s
    set lease_owner = null, lease_until = null, epoch = held.epoch, xid = held.xid, position = held.position, mark = held.mark
    from unnest(
      ${leases.map(({ name }) => name)}::text[], ${leases.map(({ fence }) => fence)}::bigint[],
      ${leases.map(({ epoch }) => epoch)}::int[], ${leases.map(({ xid }) => xid)}::xid8[], ${leases.map(({ position }) => position)}::bigint[],
      ${leases.map(({ mark }) => mark)}::text[]
    ) as held (name, fence, epoch, xid, position, mark)
    where s.name = held.name and s.fence = held.fence`);
}

/**
 * Moves the place from where the lease stands and counts what was applied, in one statement: last in the transaction of the effect, so that
 * the row is locked for a moment only. Throws `LeaseLost` when the fence or the place is another.
 */
export async function advance(queries: Queries, lease: Lease, to: Stand, applied: number, leaseMs: number): Promise<void> {
  const moved = await queries.run(sql`
    update subscriptions
    set epoch = ${to.epoch}::int, xid = ${to.xid}::xid8, position = ${to.position}::bigint, mark = ${to.mark},
      applied = applied + ${applied}::int, lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    where name = ${lease.name} and fence = ${lease.fence}::bigint
      and epoch = ${lease.epoch}::int and xid = ${lease.xid}::xid8 and position = ${lease.position}::bigint`);
  if (moved !== 1) throw new LeaseLost(lease.name);
}

/** The same for several at once. Throws `LeaseLost` when one of them is lost: then none may be moved. */
export async function advanceAll(
  queries: Queries,
  moves: readonly { readonly lease: Lease; readonly to: Stand; readonly events: readonly unknown[] }[],
  leaseMs: number,
): Promise<void> {
  const of = <T>(pick: (move: (typeof moves)[number]) => T): T[] => moves.map(pick);
  const moved = await queries.run(sql`
    update subscriptions s
    set epoch = m.epoch, xid = m.xid, position = m.position, mark = m.mark, applied = s.applied + m.applied,
      lease_until = now() + make_interval(secs => ${leaseMs / 1000}::float8)
    from unnest(
      ${of(({ lease }) => lease.name)}::text[], ${of(({ lease }) => lease.fence)}::bigint[],
      ${of(({ lease }) => lease.epoch)}::int[], ${of(({ lease }) => lease.xid)}::xid8[], ${of(({ lease }) => lease.position)}::bigint[],
      ${of(({ to }) => to.epoch)}::int[], ${of(({ to }) => to.xid)}::xid8[], ${of(({ to }) => to.position)}::bigint[],
      ${of(({ to }) => to.mark)}::text[], ${of(({ events }) => events.length)}::int[]
    ) as m (name, fence, from_epoch, from_xid, from_position, epoch, xid, position, mark, applied)
    where s.name = m.name and s.fence = m.fence and s.epoch = m.from_epoch and s.xid = m.from_xid and s.position = m.from_position`);
  if (moved !== moves.length) throw new LeaseLost(moves.map(({ lease }) => lease.name).join(", "));
}

/** A subscription, or one part of it: its row, and how many events it has parked. */
export interface SubscriptionRow extends Stand {
  readonly name: string;
  readonly fence: bigint;
  readonly publisher: string;
  readonly applied: number;
  readonly skipped: number;
  readonly parked: number;
}

/** A subscription with the rows of its parts: none when it is whole. */
export interface SubscriptionTotals extends SubscriptionRow {
  readonly parts: readonly PartRow[];
}

export interface PartRow extends SubscriptionRow {
  readonly part: number;
}

/** All subscriptions of a service, by name. What is in parts has the sums of their counters and the least of their places. */
export async function subscriptionRows(queries: Queries): Promise<SubscriptionTotals[]> {
  const rows = await queries.rows<SubscriptionRow>(sql`
    select name, publisher, fence, epoch, xid, position::text as position, mark, applied::float8 as applied, skipped::float8 as skipped,
      (select count(*) from parked_events p where p.subscription = s.name)::float8 as parked
    from subscriptions s where name <> ${relayName} order by name`);
  const parts = Map.groupBy(
    rows.flatMap((row) => {
      const part = partOf(row.name);
      return part === undefined ? [] : [{ ...row, part }];
    }),
    ({ name }) => baseName(name),
  );
  return rows.filter(({ name }) => partOf(name) === undefined).map((row) => totals(row, parts.get(row.name) ?? []));
}

function totals(row: SubscriptionRow, parts: readonly PartRow[]): SubscriptionTotals {
  const all = [row, ...parts];
  const sum = (of: (row: SubscriptionRow) => number) => all.reduce((total, each) => total + of(each), 0);
  const last = parts.toSorted(comparePlaces)[0] ?? row;
  const { epoch, xid, position, mark } = last;
  const counters = { applied: sum(({ applied }) => applied), skipped: sum(({ skipped }) => skipped), parked: sum(({ parked }) => parked) };
  return { ...row, epoch, xid, position, mark, ...counters, parts: parts.toSorted((a, b) => a.part - b.part) };
}
