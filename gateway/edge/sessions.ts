import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import type { SessionState } from "@kontor/platform/rpc/session-state.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createSessionChecks } from "./session-checks.ts";
import type { SessionChecksOptions } from "./session-checks.ts";
import type { Verified } from "./tokens.ts";

export interface SessionsOptions {
  readonly check: SessionChecksOptions["check"];
  /** Where the identity service records which sessions have ended; without it every request is checked there. */
  readonly cache: Pick<Cache, "through"> | undefined;
  readonly leaseMs?: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Whether the session of a verified token has not ended: what the cache remembers, or what the identity service says when the cache does not
 * know. Tokens are accepted while both are unavailable: without identity no session can be ended either. Never rejects.
 */
export type IsLive = (verified: Verified) => Promise<boolean>;

export function createSessions({ check, cache, leaseMs = 2_000, clock, log }: SessionsOptions): IsLive {
  const checkSession = createSessionChecks({ check, log });
  return async ({ user: { session }, expiresMs }) => {
    // Nothing is remembered for longer than the token lives.
    const ttlMs = Math.min(leaseMs, expiresMs - clock.now().getTime());
    const load = (): Promise<SessionState | undefined> => checkSession(session);
    const state = cache === undefined || ttlMs <= 0 ? await load() : await cache.through(sessionKey(session), { ttlMs }, load);
    return state !== "ended";
  };
}
