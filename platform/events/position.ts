/** A position in a log: everything at or before it has been read. `xid` and `position` are decimal text. */
export interface Position {
  readonly epoch: number;
  readonly xid: string;
  readonly position: string;
}

/** Before the first event of any log. */
export const beginning: Position = { epoch: 0, xid: "0", position: "0" };

/** Negative when `a` comes before `b` in the log, 0 when they are the same. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || compareDecimals(a.xid, b.xid) || compareDecimals(a.position, b.position);
}

/** The later of two positions. */
export function laterPosition(a: Position, b: Position): Position {
  return comparePositions(a, b) > 0 ? a : b;
}

/** Only the fields of a position: for messages and rows that have more. */
export function positionOf({ epoch, xid, position }: Position): Position {
  return { epoch, xid, position };
}

function compareDecimals(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
