import { performance } from "node:perf_hooks";
import type { SessionState } from "@kontor/platform/rpc/session-state.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** Sessions in one call; more wait for the next. */
const batchMax = 500;
/** After a call that failed none is made for so long: requests must not wait for an unavailable service. */
const pauseMs = 1000;

export interface SessionChecksOptions {
  /** Returns those of these sessions that are live, as of the call or later. */
  readonly check: (sessions: readonly string[]) => Promise<readonly string[]>;
  readonly log: Logger;
  readonly nowMs?: () => number;
}

/** The state of a session as of now or later; undefined while it cannot be found out. Never rejects. */
export type CheckSession = (session: string) => Promise<SessionState | undefined>;

interface Check {
  readonly state: Promise<SessionState | undefined>;
  readonly settle: (state: SessionState | undefined) => void;
}

/**
 * Checks the sessions of many requests with one call at a time: what arrives during a call goes into the next one. Nobody joins the call in
 * progress, because the service may have read its result before the session ended.
 */
export function createSessionChecks({ check, log, nowMs = () => performance.now() }: SessionChecksOptions): CheckSession {
  let waiting = new Map<string, Check>();
  let checking = false;
  let pausedUntilMs = -Infinity;

  async function checkAll(): Promise<void> {
    checking = true;
    while (waiting.size > 0) {
      const batch = takeBatch();
      try {
        const live = new Set(await check([...batch.keys()]));
        for (const [session, { settle }] of batch) settle(live.has(session) ? "live" : "ended");
        if (pausedUntilMs > 0) log.info({}, "sessions are checked again");
        pausedUntilMs = -Infinity;
      } catch (error) {
        if (pausedUntilMs < 0) log.warn({ error }, "sessions cannot be checked; verified access tokens are accepted without it");
        pausedUntilMs = nowMs() + pauseMs;
        for (const { settle } of [...batch.values(), ...waiting.values()]) settle(undefined);
        waiting = new Map();
      }
    }
    checking = false;
  }

  function takeBatch(): Map<string, Check> {
    const batch = waiting;
    waiting = new Map();
    if (batch.size > batchMax)
      for (const [session, pending] of [...batch].slice(batchMax)) {
        batch.delete(session);
        waiting.set(session, pending);
      }
    return batch;
  }

  return (session) => {
    const pending = waiting.get(session);
    if (pending !== undefined) return pending.state;
    if (nowMs() < pausedUntilMs) return Promise.resolve(undefined);
    const { promise: state, resolve: settle } = Promise.withResolvers<SessionState | undefined>();
    waiting.set(session, { state, settle });
    if (!checking) void checkAll();
    return state;
  };
}
