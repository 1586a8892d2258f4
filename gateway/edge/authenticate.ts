import type { IncomingMessage } from "node:http";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import type { User } from "@kontor/platform/call/call.ts";
import { clientAddress } from "./client-address.ts";
import { invalidToken, isOfBadToken } from "./problem.ts";
import type { RateLimiter } from "./rate-limits.ts";
import type { RpcRoute } from "../rest/routes.ts";
import type { IsLive } from "./sessions.ts";
import { badToken } from "./tokens.ts";
import type { Tokens, Verified } from "./tokens.ts";

/** Who a request is from, as far as the edge can tell. */
export interface Principal {
  readonly user: User | undefined;
  /** Why it is not served at all: a bad token, or one request too many. */
  readonly refused: Refusal | undefined;
  /** Why a token was not taken, where a guest is answered too. */
  readonly rejectedToken: Refusal | undefined;
  /** What every answer says of limits, and what one that a guest gets says of the token: flat lists of names and values. */
  readonly headers: readonly string[];
  readonly advice: readonly string[];
}

export interface AuthenticateOptions {
  readonly tokens: Tokens;
  readonly isLive: IsLive;
  readonly limiter: RateLimiter;
  /** How many proxies of ours stand before this gateway. */
  readonly proxies: number;
}

/**
 * Finds out who asks: by the token, as long as its session has not ended. A bad token is refused, but where everybody may read, the request is
 * that of a guest then: an old token in a browser closes no shop. The answer says that the token is bad; and what a guest does not get is
 * refused for the token's sake (`blameRejectedToken`). A write is never done as somebody else than its sender believed.
 */
export function createAuthenticate({ tokens, isLive, limiter, proxies }: AuthenticateOptions) {
  async function verified(authorization: string): Promise<Verified> {
    const found = tokens.verify(tokenIn(authorization));
    const token = found instanceof Promise ? await found : found;
    // Before it is counted: whoever has the token of an ended session uses up nobody's limit.
    if (!(await isLive(token))) throw badToken();
    return token;
  }

  return async (request: IncomingMessage, route: RpcRoute): Promise<Principal> => {
    const { authorization } = request.headers;
    let user: User | undefined;
    let bad: Refusal | undefined;
    if (authorization !== undefined && !route.ignoresToken)
      try {
        ({ user } = await verified(authorization));
      } catch (error) {
        bad = refusalIn(error);
        if (bad === undefined) throw error;
      }
    const counted = await limiter(route.service, () => user?.id ?? clientAddress(request, proxies));
    const guest = route.isPublic && route.verb === "GET";
    const headers = counted?.headers ?? none;
    if (bad === undefined || !guest) return { user, refused: counted?.refusal ?? bad, rejectedToken: undefined, headers, advice: none };
    return { user, refused: counted?.refusal, rejectedToken: bad, headers, advice: isOfBadToken(bad) ? badTokenAdvice : none };
  };
}

export type Authenticate = ReturnType<typeof createAuthenticate>;

/** What a guest is told who had sent a token that was not taken: where a better one might help, that. */
export function blameRejectedToken(error: unknown, rejectedToken: Refusal | undefined): unknown {
  const code = rejectedToken === undefined ? undefined : refusalIn(error)?.code;
  return code === "not_found" || code === "permission_denied" || code === "unauthenticated" ? rejectedToken : error;
}

const none: readonly string[] = [];
const badTokenAdvice: readonly string[] = ["WWW-Authenticate", invalidToken];
const bearerForm = /^Bearer +([^\s]+) *$/i;

function tokenIn(authorization: string): string {
  const token = bearerForm.exec(authorization)?.[1];
  if (token === undefined) throw badToken();
  return token;
}
