import type { Database } from "../database/database.ts";
import { refuse } from "../errors/refusal.ts";

/** A database whose user can be cut off from it at any moment, as a killed process is. */
export function killableDatabase(database: Database): { database: Database; kill: () => void; revive: () => void } {
  let dead = false;
  const guard = () => {
    if (dead) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
  };
  return {
    kill: () => void (dead = true),
    revive: () => void (dead = false),
    database: wrap(database, async (work) => {
      guard();
      const result = await work();
      guard();
      return result;
    }),
  };
}

/** A database that counts its statements and transactions. */
export function countingDatabase(database: Database): { database: Database; statements: () => number } {
  let statements = 0;
  return { statements: () => statements, database: wrap(database, (work) => (statements++, work())) };
}

function wrap(database: Database, around: <T>(work: () => Promise<T>) => Promise<T>): Database {
  return {
    name: database.name,
    rows: (query) => around(() => database.rows(query)),
    maybe: (query) => around(() => database.maybe(query)),
    one: (query) => around(() => database.one(query)),
    run: (query) => around(() => database.run(query)),
    transaction: (work, options) => around(() => database.transaction(work, options)),
    listen: (channel, notified) => database.listen(channel, notified),
    notify: (channel, payload) => around(() => database.notify(channel, payload)),
    reads: (...keys) => database.reads(...keys),
    changed: (...keys) => database.changed(...keys),
    replicaLagMs: database.replicaLagMs,
  };
}
