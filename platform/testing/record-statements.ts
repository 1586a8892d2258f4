import type { Queries, Transaction, TransactionOptions } from "../database/database.ts";
import type { PostgresDatabase } from "../database/postgres.ts";
import type { Sql } from "../database/sql.ts";

/** A database that is the same and passes each statement to `note` before it is sent, those of its transactions and of its replica's reads too. */
export function recordStatements(database: PostgresDatabase, note: (query: Sql) => void): PostgresDatabase {
  const noting = <T extends object>(queries: T): T =>
    new Proxy(queries, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        const call = value.bind(target) as (...values: unknown[]) => unknown;
        if (property === "reads") return (...keys: unknown[]) => noting(call(...keys) as object);
        if (property === "transaction")
          return (work: (tx: Transaction) => Promise<unknown>, options?: TransactionOptions) =>
            call((tx: Transaction) => work(noting(tx)), options);
        if (!runs.has(property)) return call;
        return (query: Sql) => {
          note(query);
          return call(query);
        };
      },
    });
  return noting(database);
}

const runs: ReadonlySet<string | symbol> = new Set<keyof Queries | "last">(["rows", "maybe", "one", "run", "last"]);
