import { AsyncLocalStorage } from "node:async_hooks";

const open = new AsyncLocalStorage<string>();

/** Runs `work` marked as inside a transaction of the named database. */
export function insideTransaction<T>(database: string, work: () => Promise<T>): Promise<T> {
  return open.run(database, work);
}

/** Throws when a transaction is open, because a wait for others must not hold its locks. `what` names what was attempted. */
export function forbidInTransaction(what: string): void {
  const database = open.getStore();
  if (database !== undefined) throw new Error(`${what} while a transaction of ${database} is open: commit first, or make it a task`);
}

/** Runs `work` as outside of any transaction: for background work that is started inside one. */
export function outsideTransaction<T>(work: () => T): T {
  return open.exit(work);
}
