import type { Sql } from "./sql.ts";

/** What runs SQL. Rows come back as plain objects: `bigint` as BigInt, `timestamptz` as Date, `jsonb` parsed, `bytea` as Buffer. */
export interface Queries {
  /** All rows. That they have the shape `Row` is not checked. */
  rows<Row extends object>(query: Sql): Promise<Row[]>;
  /** The one row, or undefined; two are a fault. */
  maybe<Row extends object>(query: Sql): Promise<Row | undefined>;
  /** The one row; none or two are a fault. */
  one<Row extends object>(query: Sql): Promise<Row>;
  /** Runs a statement; returns the number of rows that it wrote or returned. */
  run(query: Sql): Promise<number>;
}

/** What runs SQL that only reads: a statement that writes or locks throws. */
export type Reads = Pick<Queries, "rows" | "maybe" | "one">;

/** An open transaction, read committed. Nothing leaves the process while it is open: an rpc or a publish throws. */
export interface Transaction extends Queries {
  /**
   * Runs a statement as the last one, once `work` has resolved: it goes out together with the commit, and by itself, without `begin` and `commit`, where it
   * is the only one. When it fails, nothing is committed and `transaction` rejects with its error.
   */
  last(query: Sql): void;
  /** Runs when the transaction has committed, never when it rolls back. Must not throw. */
  afterCommit(hook: () => void): void;
  /** Runs `work` inside a savepoint: when it throws, only its own writes are rolled back. */
  savepoint<T>(work: () => Promise<T>): Promise<T>;
}

/** Which pool of the connection budget serves a piece of work. Relay and tasks have their own, so that requests cannot starve them. */
export type PoolName = "requests" | "background";

export interface TransactionOptions {
  readonly pool?: PoolName;
  /** How long it may take as a whole: 5,000 by default, which is also the most, because the event log's readers wait for the oldest writer. */
  readonly timeoutMs?: number;
}

/**
 * One service's database. Its own queries are single statements, each its own transaction, sent down one pipelined
 * connection; `transaction` takes a connection from the pool. Constraint errors come as faults with pg's `code`;
 * a lost connection, a full pool or a statement past its limit as the refusal `DEPENDENCY_UNAVAILABLE` (unavailable).
 */
export interface Database extends Queries {
  readonly name: string;
  /** Commits when `work` resolves, rolls back when it throws. Refuses to be opened inside another one. */
  transaction<T>(work: (tx: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>;
  /**
   * For reads that nothing is decided by. A healthy replica serves them, so the result may be as old as replicas may lag behind (a second,
   * by default), but it has every change that this process has announced by `changed` for one of the keys. In all other cases, and without
   * a replica, the database itself serves them.
   */
  reads(...keys: readonly string[]): Reads;
  /**
   * What is stored under these keys has changed: called after the commit, or for an event that reports it. From now on `reads` of a key
   * have that change. Costs nothing without a replica.
   */
  changed(...keys: readonly string[]): void;
  /** How old a result of `reads` may be: 0 without a replica. */
  readonly replicaLagMs: number;
  /** Listens for notifications; `notified` gets the payload, and undefined after each reconnection (something may have been missed). */
  listen(channel: string, notified: (payload: string | undefined) => void): Promise<() => Promise<void>>;
  notify(channel: string, payload?: string): Promise<void>;
}

/** The error code of PostgreSQL in an error's chain, such as "23505" for a unique violation. */
export function sqlState(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if ("code" in at && typeof at.code === "string" && /^[0-9A-Z]{5}$/.test(at.code)) return at.code;
  return undefined;
}
