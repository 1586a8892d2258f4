import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import type { SessionState } from "@kontor/platform/rpc/session-state.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { accessTokenSeconds } from "./access-tokens.ts";

/**
 * Announces to all gateways that a session has ended: when it resolves, none accepts its access tokens any more. Called after the commit that
 * ended it, with the time at which its newest token was issued, if that is known. The announcement expires with that token.
 */
export type AnnounceEnded = (session: string, lastUsedAt: Date | undefined) => Promise<void>;

export function announceEnded({ cache, clock }: Pick<ServiceContext, "cache" | "clock">): AnnounceEnded {
  return async (session, lastUsedAt) => {
    // The id of one that was not found is whatever the caller has sent.
    if (!sessionForm.test(session)) return;
    const nowMs = clock.now().getTime();
    // In whole seconds, as in the token.
    const issuedMs = lastUsedAt === undefined ? nowMs : Math.floor(lastUsedAt.getTime() / 1000) * 1000;
    // Set even when the token has expired: what is cached of the session must be replaced.
    const restMs = Math.max(1, issuedMs + accessTokenSeconds * 1000 - nowMs);
    await cache.set(sessionKey(session), "ended" satisfies SessionState, restMs);
  };
}

const sessionForm = /^ses_[0-9a-z]{26}$/;
