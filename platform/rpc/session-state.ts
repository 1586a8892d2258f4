/** What the house knows of a session: its keeper's database says so, and the cache remembers it for the edge. */
export type SessionState = "live" | "ended";

/**
 * Where the cache remembers it. The edge reads it with `through` and asks the keeper when it is not there; the keeper sets "ended" after the
 * commit that ended it. A "live" that was being asked for at that time is not kept then: that is the promise of the cache's `through`.
 */
export const sessionKey = (session: string): string => `session:${session}`;
