import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import type { PoolName } from "./database.ts";
import { canSpareFor, dequeue, emptyPool, hasNone, markDedicated, mayReassign, nextShare, reassignAfterMs, shareOf } from "./fair-share.ts";
import type { ConnectionOwner, Pool, PooledConnection, Reclaimable, Share, Waiter } from "./fair-share.ts";
import { outsideTransaction } from "./in-transaction.ts";

export interface ConnectionBudgetOptions {
  /** How many connections all databases together have open at most. */
  readonly connections: number;
  /** How many of them are reserved for relay, tasks and subscriptions, which take no others. */
  readonly background: number;
  /** How long an unused connection stays open: 10,000 by default. It is closed sooner when another database waits. */
  readonly idleMs?: number;
  /** How long to wait for a connection before that is refused: 2,000 by default. */
  readonly waitMs?: number;
  /** How many wait for a pool's connections before more are refused at once: 1,000 by default. */
  readonly waitingMax?: number;
}

export interface PoolFigures {
  readonly open: number;
  readonly idle: number;
  readonly waiting: number;
}

const tickMs = 100;
/**
 * Closing a connection of one database and opening one of another costs some ten milliseconds, its statements' plans included, and a process
 * that has fewer connections than its databases could use would do little else. So a connection stays with its database: it goes to another
 * when it was unused for this long, or when the other has fewer by two.
 */
const unusedMs = 100;

/** The connections of a process, shared by all its databases: a pool for requests and one for background work. */
export class ConnectionBudget {
  readonly #idleMs: number;
  readonly #waitMs: number;
  readonly #waitingMax: number;
  readonly #pools: Readonly<Record<PoolName, Pool>>;
  readonly #owners = new Set<ConnectionOwner>();
  #timer: NodeJS.Timeout | undefined;

  constructor({ connections, background, idleMs = 10_000, waitMs = 2_000, waitingMax = 1_000 }: ConnectionBudgetOptions) {
    if (background < 1 || connections - background < 2)
      throw new RangeError("A connection budget needs one background connection or more, and two others or more");
    this.#idleMs = idleMs;
    this.#waitMs = waitMs;
    this.#waitingMax = waitingMax;
    this.#pools = { requests: emptyPool("requests", connections - background), background: emptyPool("background", background) };
  }

  /** Announces a database before it takes connections, so that from the first on it is known how many databases share them. */
  join(owner: ConnectionOwner): void {
    this.#owners.add(owner);
  }

  /** Closes the unused connections of a database that stops, and waits for that. */
  async leave(owner: ConnectionOwner): Promise<void> {
    const closing: Promise<void>[] = [];
    for (const pool of Object.values(this.#pools))
      for (const pooled of pool.idle.filter((candidate) => candidate.owner === owner)) {
        this.#close(pool, pooled);
        closing.push(pooled.wire.closed);
      }
    this.#owners.delete(owner);
    await Promise.all(closing);
    for (const { shares } of Object.values(this.#pools)) if (shares.get(owner)?.connections === 0) shares.delete(owner);
  }

  figures(name: PoolName): PoolFigures {
    const { open, idle, waiting } = this.#pools[name];
    return { open, idle: idle.length, waiting };
  }

  /** Whether half of the pool is unused, so that a database may take more than it needs. */
  isHalfFree(name: PoolName): boolean {
    const { open, idle, connectionsMax, waiting } = this.#pools[name];
    return open - idle.length < connectionsMax / 2 && waiting === 0;
  }

  /**
   * A connection of the owner's database. Refuses with OVERLOADED when too many wait or the wait is too long, and passes on the error of
   * opening one. `urgent` is served before all others and never refused for their number: for a connection dedicated to single statements.
   */
  acquire(owner: ConnectionOwner, name: PoolName, urgent = false): Promise<PooledConnection> {
    const pool = this.#pools[name];
    const at = pool.idle.findLastIndex((pooled) => pooled.owner === owner && pooled.wire.usable);
    if (at !== -1) return Promise.resolve(markDedicated(pool, pool.idle.splice(at, 1)[0]!, urgent));
    if (pool.waiting >= this.#waitingMax && !urgent) return Promise.reject(overloaded());
    this.#owners.add(owner);
    this.#timer ??= outsideTransaction(() => setInterval(() => this.#tick(), tickMs).unref());
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { sinceMs: performance.now(), urgent, resolve, reject };
      const share = shareOf(pool, owner);
      if (urgent) share.waiting.unshift(waiter);
      else share.waiting.push(waiter);
      pool.waiting++;
      this.#openForWaiting(pool);
      this.#reclaimForWaiting(pool);
    });
  }

  /** Takes a connection back: to be used again, or with `close`, to be closed. */
  release(pooled: PooledConnection, close = false): void {
    const pool = this.#pools[pooled.pool];
    markDedicated(pool, pooled, false);
    if (!pooled.wire.usable) return this.#removed(pool, pooled.owner);
    if (close) return this.#close(pool, pooled);
    const share = shareOf(pool, pooled.owner);
    if (share.waiting.length > 0 && (pool.waiting === share.waiting.length || !this.#mustYield(pool, share))) {
      const waiter = dequeue(pool, share);
      return waiter.resolve(markDedicated(pool, pooled, waiter.urgent));
    }
    pooled.idleSinceMs = performance.now();
    pool.idle.push(pooled);
    if (pool.waiting > 0) this.#reclaimForWaiting(pool);
  }

  /** Whether a connection of this share should go to another's waiter and not to its own. */
  #mustYield(pool: Pool, share: Share): boolean {
    const nowMs = performance.now();
    for (const other of pool.shares.values())
      if (other !== share && other.waiting.length > 0 && mayReassign(pool, other, nowMs) && (hasNone(other) || canSpareFor(share, other)))
        return true;
    return false;
  }

  /** Opens connections for those who wait, as far as there is room, in the order of fair shares. */
  #openForWaiting(pool: Pool): void {
    while (pool.open < pool.connectionsMax && pool.waiting > 0) {
      const share = nextShare(pool)!;
      const waiter = dequeue(pool, share);
      const { owner } = share;
      pool.open++;
      share.connections++;
      if (waiter.urgent) share.dedicated++;
      // What arrives on the connection later does not belong to what its first user is doing.
      outsideTransaction(() => owner.open()).then(
        (wire) => {
          const pooled: PooledConnection = { owner, pool: pool.name, wire, dedicated: waiter.urgent, idleSinceMs: 0 };
          void wire.closed.then(() => this.#lost(pool, pooled));
          waiter.resolve(pooled);
        },
        (error: unknown) => {
          if (waiter.urgent) share.dedicated--;
          this.#removed(pool, owner);
          waiter.reject(error);
        },
      );
    }
  }

  /** Has connections closed for those who wait, each for one who would not have to return it at once. */
  #reclaimForWaiting(pool: Pool): void {
    const nowMs = performance.now();
    for (const share of pool.shares.values()) {
      if (pool.closing >= pool.waiting) return;
      if (share.waiting.length === 0) continue;
      const none = hasNone(share);
      const reassign = none && mayReassign(pool, share, nowMs);
      const pooled = pool.idle.find(
        ({ owner, idleSinceMs }) =>
          owner !== share.owner && (reassign || nowMs - idleSinceMs > unusedMs || canSpareFor(shareOf(pool, owner), share)),
      );
      if (pooled !== undefined) this.#close(pool, pooled);
      else if (pool.name === "requests") {
        // While any connection comes and goes with transactions, transactions wait for those.
        const onlyDedicated = share.waiting[0]!.urgent || dedicatedIn(pool) === pool.open;
        this.#reclaimDedicated(share.owner, [
          "unused",
          ...(none ? ["extra" as const] : []),
          ...(reassign && onlyDedicated ? ["any" as const] : []),
        ]);
      }
      if (none && !reassign) pool.reassignment ??= setTimeout(() => this.#reassign(pool), reassignAfterMs[pool.name] + 1).unref();
    }
  }

  #reassign(pool: Pool): void {
    pool.reassignment = undefined;
    this.#reclaimForWaiting(pool);
  }

  /** Makes another database return a connection that is dedicated to its single statements. */
  #reclaimDedicated(waiting: ConnectionOwner, kinds: readonly Reclaimable[]): void {
    for (const which of kinds)
      for (const owner of this.#owners) {
        if (owner === waiting || !owner.reclaim(which)) continue;
        // Next time it is another's turn.
        this.#owners.delete(owner);
        this.#owners.add(owner);
        return;
      }
  }

  #close(pool: Pool, pooled: PooledConnection): void {
    const at = pool.idle.indexOf(pooled);
    if (at !== -1) pool.idle.splice(at, 1);
    pool.closing++;
    // Only a connection that has really ended makes room: the server counts too.
    void pooled.wire.close().then(() => {
      pool.closing--;
      this.#removed(pool, pooled.owner);
    });
  }

  #removed(pool: Pool, owner: ConnectionOwner): void {
    pool.open--;
    const share = shareOf(pool, owner);
    share.connections--;
    if (share.connections === 0 && share.waiting.length === 0) pool.shares.delete(owner);
    this.#openForWaiting(pool);
  }

  #lost(pool: Pool, pooled: PooledConnection): void {
    const at = pool.idle.indexOf(pooled);
    if (at === -1) return; // its user releases it
    pool.idle.splice(at, 1);
    this.#removed(pool, pooled.owner);
  }

  #tick(): void {
    const nowMs = performance.now();
    let live = 0;
    for (const pool of Object.values(this.#pools)) {
      for (const pooled of pool.idle.filter(({ idleSinceMs }) => nowMs - idleSinceMs > this.#idleMs)) this.#close(pool, pooled);
      for (const { waiting } of pool.shares.values())
        for (const waiter of waiting.filter(({ sinceMs }) => nowMs - sinceMs > this.#waitMs)) {
          waiting.splice(waiting.indexOf(waiter), 1);
          pool.waiting--;
          waiter.reject(overloaded());
        }
      if (pool.waiting > 0) this.#reclaimForWaiting(pool);
      live += pool.open + pool.waiting;
    }
    for (const owner of this.#owners) owner.tick(nowMs);
    if (live > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * How many connections a process with so many databases needs at least, 30 % of them for the background: one for each database's single
 * statements, and two to share for transactions. With fewer, databases take connections from each other all the time.
 */
export function connectionsMin(databases: number): number {
  return Math.ceil((databases + 2) / 0.7);
}

/** One budget for the process, shared by all its databases. */
export function createConnectionBudget(options: ConnectionBudgetOptions): ConnectionBudget {
  return new ConnectionBudget(options);
}

function dedicatedIn({ shares }: Pool): number {
  let dedicated = 0;
  for (const share of shares.values()) dedicated += share.dedicated;
  return dedicated;
}

function overloaded(): Error {
  return refuse({ reason: "OVERLOADED", code: "unavailable", message: "No database connection came free in time", retryAfterMs: 1_000 });
}
