import type { PoolName } from "./database.ts";
import type { WireConnection } from "./wire-connection.ts";

/** A database, as the connection budget sees it. */
export interface ConnectionOwner {
  open(): Promise<WireConnection>;
  /** Gives back a connection: an unused one, one of several, or any. False when it has none such. */
  reclaim(which: Reclaimable): boolean;
  /** Called about ten times a second while any connection is open. */
  tick(nowMs: number): void;
}

export type Reclaimable = "unused" | "extra" | "any";

/** A connection that counts against the budget. */
export interface PooledConnection {
  readonly owner: ConnectionOwner;
  readonly pool: PoolName;
  readonly wire: WireConnection;
  /** Whether single statements use it all the time; the others come and go with transactions. */
  dedicated: boolean;
  idleSinceMs: number;
}

/** Who waits for a connection. */
export interface Waiter {
  readonly sinceMs: number;
  /** Waits for a dedicated connection, and is served before the others. */
  readonly urgent: boolean;
  readonly resolve: (pooled: PooledConnection) => void;
  readonly reject: (error: unknown) => void;
}

/** What one database has of a pool. */
export interface Share {
  readonly owner: ConnectionOwner;
  /** Its connections, those being opened and closed included. */
  connections: number;
  /** Those of them that are dedicated. */
  dedicated: number;
  /** In order of arrival, the urgent first. */
  readonly waiting: Waiter[];
}

/** The connections of one pool, which its databases share fairly. */
export interface Pool {
  readonly name: PoolName;
  readonly connectionsMax: number;
  /** Those being opened and closed included. */
  open: number;
  closing: number;
  readonly shares: Map<ConnectionOwner, Share>;
  /** Longest unused first. */
  readonly idle: PooledConnection[];
  waiting: number;
  reassignment: NodeJS.Timeout | undefined;
}

/**
 * A database that has no connection at all waits this long before it gets another's. In the background more of them wait for one, and less
 * waits for them.
 */
export const reassignAfterMs: Readonly<Record<PoolName, number>> = { requests: 50, background: 150 };

/** A pool with no connection open. */
export function emptyPool(name: PoolName, connectionsMax: number): Pool {
  return { name, connectionsMax, open: 0, closing: 0, shares: new Map(), idle: [], waiting: 0, reassignment: undefined };
}

/** The owner's share, made when it has none. */
export function shareOf({ shares }: Pool, owner: ConnectionOwner): Share {
  let share = shares.get(owner);
  if (share === undefined) shares.set(owner, (share = { owner, connections: 0, dedicated: 0, waiting: [] }));
  return share;
}

/** Takes the first of those who wait out of the queue. */
export function dequeue(pool: Pool, { waiting }: Share): Waiter {
  pool.waiting--;
  return waiting.shift()!;
}

/** Notes whether a connection is dedicated. */
export function markDedicated(pool: Pool, pooled: PooledConnection, dedicated: boolean): PooledConnection {
  if (pooled.dedicated !== dedicated) shareOf(pool, pooled.owner).dedicated += dedicated ? 1 : -1;
  pooled.dedicated = dedicated;
  return pooled;
}

/** Whether the first of those who wait has done so for long enough to get another's connection. */
export function mayReassign({ name }: Pool, { waiting }: Share, nowMs: number): boolean {
  return nowMs - waiting[0]!.sinceMs > reassignAfterMs[name];
}

/** Whether the database has no connection of the kind that its first waiter needs. */
export function hasNone({ connections, dedicated, waiting }: Share): boolean {
  return waiting[0]!.urgent ? dedicated === 0 : connections === dedicated;
}

/** Whether `one` still has as many connections for transactions as `other` after giving one to it. */
export function canSpareFor(one: Share, other: Share): boolean {
  return sharedOf(one) > sharedOf(other) + 1;
}

/** The share that is served next: the urgent first, then the smallest, then the one that waits longest. Undefined when nobody waits. */
export function nextShare({ shares }: Pool): Share | undefined {
  let first: Share | undefined;
  for (const share of shares.values()) if (share.waiting.length > 0 && (first === undefined || comesBefore(share, first))) first = share;
  return first;
}

function comesBefore(one: Share, other: Share): boolean {
  const [a, b] = [one.waiting[0]!, other.waiting[0]!];
  if (a.urgent !== b.urgent) return a.urgent;
  const [has, otherHas] = [sharedOf(one), sharedOf(other)];
  return has === otherHas ? a.sinceMs < b.sinceMs : has < otherHas;
}

/** Connections that come and go with transactions. */
function sharedOf({ connections, dedicated }: Share): number {
  return connections - dedicated;
}
