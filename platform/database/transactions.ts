import type { Logger } from "../telemetry/logger.ts";
import type { ConnectionBudget } from "./connection-budget.ts";
import type { PoolName } from "./database.ts";
import type { ConnectionOwner, PooledConnection } from "./fair-share.ts";
import { forbidInTransaction, insideTransaction } from "./in-transaction.ts";
import { OpenTransaction } from "./open-transaction.ts";

export interface TransactionsOptions {
  readonly database: string;
  readonly owner: ConnectionOwner;
  readonly budget: ConnectionBudget;
  readonly log: Logger;
  /** Throws when no more work is taken. */
  readonly check: () => void;
}

/** The transactions of a database, each on a connection of its own. */
export class Transactions {
  readonly #options: TransactionsOptions;
  readonly #open = new Set<OpenTransaction>();
  #drained: (() => void) | undefined;

  constructor(options: TransactionsOptions) {
    this.#options = options;
  }

  /** How many are open. */
  get size(): number {
    return this.#open.size;
  }

  /** Commits when `work` resolves, rolls back when it throws or takes longer than `timeoutMs`. Refuses to be opened inside another one. */
  async run<T>(work: (tx: OpenTransaction) => Promise<T>, pool: PoolName, timeoutMs: number): Promise<T> {
    const { database, owner, budget, check } = this.#options;
    forbidInTransaction(`a transaction of ${database}`);
    check();
    const pooled = await budget.acquire(owner, pool);
    try {
      check();
    } catch (error) {
      budget.release(pooled, true);
      throw error;
    }
    const transaction = new OpenTransaction(database, pooled.wire, timeoutMs);
    this.#open.add(transaction);
    let result: T;
    try {
      result = await transaction.during(() => insideTransaction(database, async () => work(transaction)));
      await transaction.commit();
    } catch (error) {
      await transaction.rollback();
      throw error;
    } finally {
      this.#end(transaction, pooled);
    }
    for (const hook of transaction.hooks()) this.#runHook(hook);
    return result;
  }

  /** Ends those whose time is over. */
  expire(nowMs: number): void {
    for (const transaction of this.#open) transaction.expire(nowMs);
  }

  /** Resolves when none is open any more. */
  async drained(): Promise<void> {
    if (this.#open.size > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    this.#drained = undefined;
  }

  #end(transaction: OpenTransaction, pooled: PooledConnection): void {
    this.#open.delete(transaction);
    if (!pooled.wire.isIdle) pooled.wire.abort(new Error("The transaction did not end"));
    this.#options.budget.release(pooled);
    if (this.#open.size === 0) this.#drained?.();
  }

  #runHook(hook: () => void): void {
    try {
      hook();
    } catch (error) {
      // It has committed; its caller must not get an error.
      this.#options.log.error({ database: this.#options.database, error }, "a hook failed after its transaction had committed");
    }
  }
}
