import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import type { SessionState } from "@kontor/platform/rpc/session-state.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { accessTokenSeconds } from "./access-tokens.ts";

/**
 * Tells the house that a session has ended: when it resolves, no gateway takes its access tokens any more. Called after the commit that ended
 * it, with the time at which its newest token was made, if that is known. What was told is forgotten when that token has expired.
 */
export type TellEnded = (session: string, lastUsedAt: Date | undefined) => Promise<void>;

export function tellEnded({ cache, clock }: Pick<ServiceContext, "cache" | "clock">): TellEnded {
  return async (session, lastUsedAt) => {
    // The id of one that was not found is whatever the caller has sent.
    if (!sessionForm.test(session)) return;
    const nowMs = clock.now().getTime();
    // In whole seconds, as the token has it.
    const madeMs = lastUsedAt === undefined ? nowMs : Math.floor(lastUsedAt.getTime() / 1000) * 1000;
    // Set even when it is over: what was known of the session must go.
    const restMs = Math.max(1, madeMs + accessTokenSeconds * 1000 - nowMs);
    await cache.set(sessionKey(session), "ended" satisfies SessionState, restMs);
  };
}

const sessionForm = /^ses_[0-9a-z]{26}$/;
