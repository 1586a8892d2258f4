/** The state of a session: the identity service stores it, and the cache has a copy for the gateway. */
export type SessionState = "live" | "ended";

/**
 * The cache key of a session's state. The gateway reads it with `through` and calls identity when it is not there; identity sets "ended" after the
 * commit that ended the session. A "live" that was being loaded at that time is not stored: the cache's `through` promises that.
 */
export const sessionKey = (session: string): string => `session:${session}`;
