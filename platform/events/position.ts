/** A place in a log: everything at or before it has been read. `xid` and `position` are decimal text. */
export interface Place {
  readonly epoch: number;
  readonly xid: string;
  readonly position: string;
}

/**
 * A place, and beside it where that is on the way on which the events come, in the words of that way: empty where the log itself is read.
 * A mark may lie before its place, never behind it: from there on what the place covers already is passed over.
 */
export interface Stand extends Place {
  readonly mark: string;
}

/** Before the first event of any log. */
export const beginning: Place = { epoch: 0, xid: "0", position: "0" };

/** Negative when `a` comes before `b` in the log, 0 when they are the same place. */
export function comparePlaces(a: Place, b: Place): number {
  return a.epoch - b.epoch || compareDecimals(a.xid, b.xid) || compareDecimals(a.position, b.position);
}

/** The later of two places. */
export function laterPlace(a: Place, b: Place): Place {
  return comparePlaces(a, b) > 0 ? a : b;
}

function compareDecimals(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}
