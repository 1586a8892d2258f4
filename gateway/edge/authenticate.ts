import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { User } from "@kontor/platform/call/call.ts";
import type { IsLive } from "./sessions.ts";
import type { Target } from "./target.ts";
import { tokenRejected } from "./tokens.ts";
import type { Tokens, Verified } from "./tokens.ts";

/** Who a request is from, as far as its token proves it. */
export interface Principal {
  /** Undefined: a guest. */
  readonly user: User | undefined;
  /** The user's token, for what lasts and must end with its session. */
  readonly verified: Verified | undefined;
  /** Why a token that was sent is not accepted. */
  readonly rejectedToken: Refusal | undefined;
}

/** The principal of a request without a token. */
export const guest: Principal = { user: undefined, verified: undefined, rejectedToken: undefined };

/** The principal of an `Authorization` header. Rejects only with faults. */
export type Authenticate = (authorization: string) => Promise<Principal>;

/**
 * Accepts tokens whose session has not ended. At a public method the sender of another one is a guest: an old token in a browser must not make the
 * shop unusable. The response says that the token is not valid. Where the contract says that the meaning depends on the caller (`by_caller`), what a
 * guest is refused is refused because of the token (`blameRejectedToken`), and a write is never done as somebody else than its sender believed.
 */
export function createAuthenticate({ tokens, isLive }: { readonly tokens: Tokens; readonly isLive: IsLive }): Authenticate {
  return async (authorization) => {
    try {
      const found = tokens.verify(tokenIn(authorization));
      const verified = found instanceof Promise ? await found : found;
      // Before the request is counted: the token of an ended session does not use up the user's rate limit.
      if (!(await isLive(verified))) throw tokenRejected();
      return { user: verified.user, verified, rejectedToken: undefined };
    } catch (error) {
      const rejectedToken = refusalIn(error);
      if (rejectedToken === undefined) throw error;
      return { user: undefined, verified: undefined, rejectedToken };
    }
  };
}

/** The error for a guest whose token was rejected: the rejection, where a valid token might have helped because the caller matters there. */
export function blameRejectedToken(
  error: unknown,
  { needsAcceptedToken }: Pick<Target, "needsAcceptedToken">,
  { rejectedToken }: Principal,
): unknown {
  const code = rejectedToken === undefined || !needsAcceptedToken ? undefined : refusalIn(error)?.code;
  return code === "not_found" || code === "permission_denied" || code === "unauthenticated" ? rejectedToken : error;
}

const bearerForm = /^Bearer +([^\s]+) *$/i;

function tokenIn(authorization: string): string {
  const token = bearerForm.exec(authorization)?.[1];
  if (token === undefined) throw tokenRejected();
  return token;
}
