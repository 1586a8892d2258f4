import pg from "pg";
import { Refusal, refuse } from "../errors/refusal.ts";
import { ValueError } from "./values.ts";

/**
 * A statement that PostgreSQL rejected: a fault, unless the caller handles its `sqlState`. Carries the statement's text, never its
 * values.
 */
export class StatementError extends Error {
  /** The SQLSTATE, such as "23505". */
  readonly code: string;
  readonly constraint: string | undefined;
  readonly table: string | undefined;
  readonly statement: string | undefined;

  constructor(error: pg.DatabaseError, statement: string | undefined) {
    // PostgreSQL quotes the value that it could not read; its `detail` (left out) holds those of a violated key.
    const message = error.code?.startsWith("22") ? error.message.replace(/: ".*$/s, "") : error.message;
    super(statement === undefined ? message : `${message} in: ${statement.replace(/\s+/g, " ").trim()}`);
    this.name = "StatementError";
    this.code = error.code ?? "XX000";
    this.constraint = error.constraint;
    this.table = error.table;
    this.statement = statement;
  }
}

/**
 * States that pass, so that the caller may retry: connection trouble (08), no resources left (53), shutting down (57P), a statement or lock
 * past its time limit (57014, 55P03), a deadlock or serialization failure (40), an idle transaction (25P03), a server that became a replica
 * (25006).
 */
const passing = /^(08...|53...|57P0[1-5]|57014|55P03|40001|40P01|25P03|25P04|25006)$/;

/**
 * What to throw for an error of the driver: the refusal DEPENDENCY_UNAVAILABLE when it will pass (every error that did not come from the
 * server is one of the connection), else a `StatementError`.
 */
export function databaseError(error: unknown, database: string, statement?: string): Error {
  if (error instanceof StatementError || error instanceof ValueError || error instanceof Refusal) return error;
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return unavailable(database, error);
  const fault = new StatementError(error, statement);
  return passing.test(fault.code) || planIsStale(error) ? unavailable(database, fault) : fault;
}

/** Whether this connection will never accept the statement again, because its table was altered after it was prepared. */
export function planIsStale(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "0A000" && error.routine === "RevalidateCachedQuery";
}

/** Whether the server accepts no writes any more, so that a writer cannot use any connection to it. */
export function serverIsReadOnly(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "25006";
}

/** The refusal for a database that is unavailable now. */
export function unavailable(database: string, cause: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: `The database of ${database} is unavailable`,
    retryAfterMs: 1_000,
    cause,
  });
}
