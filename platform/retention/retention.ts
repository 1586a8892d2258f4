import type { Sql } from "../database/sql.ts";

/**
 * What becomes of the rows of a table. Every table of every database has an entry, or one for each kind of its rows; a test refuses a table without.
 * `docs/retention.md` is made from them.
 */
export type Retention = SweptRows | StayingRows;

interface Rows {
  readonly table: string;
  /** Which of its rows, in words: "ended sagas". */
  readonly rows: string;
  /** Why they are kept so long, why they never go, or what bounds them. */
  readonly why: string;
}

/** Rows that nobody sweeps. */
export interface StayingRows extends Rows {
  /** `growing`: meant to grow with the shop. `bounded`: as many as there are of something else. `held`: until an operator decides. */
  readonly stays: "growing" | "bounded" | "held";
}

/** Rows that the sweeper deletes. */
export interface SweptRows extends Rows {
  /** How long they are kept after the time that `by` names, by the injected clock. */
  readonly keptMs: number;
  /** After what, in words: "it was created". */
  readonly after: string;
  /** A time in a column, or the time in ids that were made with this prefix. */
  readonly by: { readonly column: string } | { readonly column: string; readonly idPrefix: string };
  /** What else holds for them. */
  readonly where?: Sql;
  /** The index by which they are found in the order of `by`, oldest first. A test holds the statement to it. */
  readonly index: string;
}

/** What becomes of the documents of a collection: each has its expiry, and the sweeper removes expired ones, in whatever store they are. */
export interface DocumentRetention {
  readonly name: string;
  /** For how long, in words: "30 days after its last change". */
  readonly kept: string;
  readonly why: string;
}

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/** Whether the sweeper deletes these rows. */
export function isSwept(retention: Retention): retention is SweptRows {
  return "keptMs" in retention;
}
