import { AsyncLocalStorage } from "node:async_hooks";

const open = new AsyncLocalStorage<string>();

/** Runs `work` marked as inside a transaction of the named database. */
export function insideTransaction<T>(database: string, work: () => Promise<T>): Promise<T> {
  return open.run(database, work);
}

/** Throws when a transaction is open: what waits for others must not hold locks. `what` names the attempt. */
export function forbidInTransaction(what: string): void {
  const database = open.getStore();
  if (database !== undefined) throw new Error(`${what} while a transaction of ${database} is open: commit first, or make it a task`);
}

/** Runs `work` as outside of any transaction: for background loops that are started from within one. */
export function outsideTransaction<T>(work: () => T): T {
  return open.exit(work);
}
