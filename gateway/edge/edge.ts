import { performance } from "node:perf_hooks";
import type { Message } from "@bufbuild/protobuf";
import { Call } from "@kontor/platform/call/call.ts";
import { checkAccess, edgeCaller } from "@kontor/platform/rpc/access.ts";
import type { Client } from "@kontor/platform/rpc/fair-share.ts";
import type { ConcurrencyLimiter } from "@kontor/platform/rpc/concurrency-limiter.ts";
import { blameRejectedToken, guest } from "./authenticate.ts";
import type { Authenticate, Principal } from "./authenticate.ts";
import type { BruteForceLimits } from "./brute-force-limits.ts";
import type { AddressOf } from "./client-address.ts";
import type { Exchange } from "./exchange.ts";
import type { OpenSession, OpenSessions } from "./open-sessions.ts";
import { invalidToken, isTokenRefusal } from "./problem.ts";
import type { Counted, RateLimiter } from "./rate-limits.ts";
import type { Target } from "./target.ts";
import { tokenRejected } from "./tokens.ts";

export interface EdgeOptions {
  readonly authenticate: Authenticate;
  readonly openSessions: OpenSessions;
  readonly rateLimiter: RateLimiter;
  readonly bruteForceLimits: BruteForceLimits;
  /** One for each service: requests that wait for one service do not delay those for another. */
  readonly concurrencyLimiters: ReadonlyMap<string, ConcurrencyLimiter>;
  /** How long a call may take. */
  readonly timeoutMs: number;
  readonly addressOf: AddressOf;
  /** Makes an address a pseudonym: see `Call.origin`. */
  readonly originOf: (address: string) => string;
}

/** A method's request from an admitted principal. */
export interface Invocation {
  readonly principal: Principal;
  readonly message: Message;
  readonly idempotencyKey: string | undefined;
  /** What the client allows the call, where its protocol says so; never more than the gateway does, and not for a method that takes a secret. */
  readonly timeoutMs?: number;
}

/** A request that lasts until the signal aborts, the time is over or its session ends: of a stream, or of a read that waits for a change. */
export interface Opening {
  readonly principal: Principal;
  readonly message: Message;
  readonly durationMs: number;
  readonly signal: AbortSignal;
}

/**
 * What every request passes on its way to a service, whichever protocol it came by. A binding admits it, reads its message, and invokes.
 * A binding that learns its targets from the body, or has several, identifies first and permits each. What has to wait for nothing gives its
 * result without a promise, or throws.
 */
export interface Edge {
  /** Identifies and permits, before the body is read. Refuses `OVERLOADED` first of all, while the service has no room even in its queue. */
  admit(exchange: Exchange, target: Target, options: AdmissionOptions): Principal | Promise<Principal>;
  /** Whose share of what lasts a request takes. */
  clientOf(exchange: Exchange, principal: Principal): Client;
  /** Whose request it is. A token that is not accepted makes a guest, with the reason: `permit` decides whether that suffices. */
  identify(exchange: Exchange): Principal | Promise<Principal>;
  /** Counts the request. Refuses `RATE_LIMITED`, a rejected token, and what the contract does not allow this principal. */
  permit(exchange: Exchange, target: Target, principal: Principal, options: AdmissionOptions): Promise<void> | undefined;
  /** Calls the method once its service has room. Refuses `OVERLOADED`, and `RATE_LIMITED` after too many wrong secrets from one address. */
  invoke(exchange: Exchange, target: Target, invocation: Invocation): Promise<Message>;
  /**
   * Calls a method that waits for a change. Waits are not counted by the concurrency limiters here, because they last and mostly wait; their
   * reads are counted where the service runs. Refuses the token when its session ends meanwhile, whatever the service replies.
   */
  wait(exchange: Exchange, target: Target, waiting: Opening): Promise<Message>;
  /**
   * Opens the method's stream. Streams are not counted by the concurrency limiters: they last, and mostly wait. Ends with a refusal of the token when its
   * session ends: nothing is delivered afterwards.
   */
  open(exchange: Exchange, target: Target, opening: Opening): AsyncIterable<Message>;
}

export interface AdmissionOptions {
  /** Nothing changes by it: at a public method the sender of a rejected token is served as a guest, whatever the contract says. */
  readonly readOnly: boolean;
}

export function createEdge(options: EdgeOptions): Edge {
  const { authenticate, openSessions, rateLimiter, bruteForceLimits, concurrencyLimiters, timeoutMs, addressOf } = options;
  const limiterOf = ({ service }: Target): ConcurrencyLimiter => concurrencyLimiters.get(service)!; // there is one for each that is served

  const originOf = ({ request }: Pick<Exchange, "request">): string => options.originOf(addressOf(request));

  function identify({ request }: Exchange): Principal | Promise<Principal> {
    const { authorization } = request.headers;
    return authorization === undefined ? guest : authenticate(authorization);
  }

  function permit(exchange: Exchange, target: Target, principal: Principal, options: AdmissionOptions): Promise<void> | undefined {
    if (principal.rejectedToken !== undefined && isTokenRefusal(principal.rejectedToken))
      exchange.tokenHeaders = ["WWW-Authenticate", invalidToken];
    const { user } = principal;
    const counting = rateLimiter(target, {
      signedIn: user !== undefined,
      name: () => user?.id ?? addressOf(exchange.request),
    });
    if (counting !== undefined) return permitCounted(exchange, target, principal, options, counting);
    checkPrincipal(target, principal, options);
    return undefined;
  }

  function permitted(exchange: Exchange, target: Target, principal: Principal, options: AdmissionOptions): Principal | Promise<Principal> {
    const counted = permit(exchange, target, principal, options);
    return counted === undefined ? principal : counted.then(() => principal);
  }

  const sessionOf = ({ verified }: Principal): OpenSession | undefined => verified && openSessions.open(verified);

  return {
    identify,
    permit,
    clientOf: (exchange, { user }) => ({ account: user?.id, origin: originOf(exchange) }),
    admit(exchange, target, options) {
      // By the address alone: whose request it is, is not known yet.
      limiterOf(target).refuseWhenFull(target.urgent, () => originOf(exchange));
      const principal = target.ignoresToken ? guest : identify(exchange);
      if (principal instanceof Promise) return principal.then((identified) => permitted(exchange, target, identified, options));
      return permitted(exchange, target, principal, options);
    },
    async invoke({ request, trace, correlation }, target, { principal, message, idempotencyKey, timeoutMs: clientMs = timeoutMs }) {
      // Whoever guesses a secret must wait for the result: one that came too late would not count as wrong.
      const deadlineMs = performance.now() + (target.takesSecret ? timeoutMs : Math.min(clientMs, timeoutMs));
      const { user } = principal;
      const origin = originOf({ request });
      const call = new Call({ caller: edgeCaller, user, origin, deadlineMs, idempotencyKey, trace, correlation });
      const limiter = limiterOf(target);
      const wait = limiter.enter(target.urgent, deadlineMs, origin);
      if (wait !== undefined) await wait;
      try {
        if (target.takesSecret) return await bruteForceLimits.attempt(addressOf(request), () => target.invoke(message, call));
        return await target.invoke(message, call);
      } catch (error) {
        throw blameRejectedToken(error, target, principal);
      } finally {
        limiter.leave(origin);
      }
    },
    async wait({ request, trace, correlation }, target, { principal, message, durationMs, signal }) {
      const deadlineMs = performance.now() + durationMs + timeoutMs;
      const session = sessionOf(principal);
      const init = {
        caller: edgeCaller,
        user: principal.user,
        origin: originOf({ request }),
        deadlineMs,
        trace,
        correlation,
        signal: untilEnded(signal, session),
      };
      try {
        const reply = await target.invoke(message, new Call(init));
        await expectLive(session);
        return reply;
      } catch (error) {
        await expectLive(session);
        throw blameRejectedToken(error, target, principal);
      } finally {
        session?.close();
      }
    },
    async *open({ request, trace, correlation }, target, { principal, message, durationMs, signal }) {
      const deadlineMs = performance.now() + durationMs;
      const session = sessionOf(principal);
      const init = {
        caller: edgeCaller,
        user: principal.user,
        origin: originOf({ request }),
        deadlineMs,
        trace,
        correlation,
        signal: untilEnded(signal, session),
      };
      try {
        for await (const reply of target.open(message, new Call(init))) {
          await expectLive(session);
          yield reply;
        }
      } catch (error) {
        if (session?.ended.aborted === true) throw tokenRejected();
        throw error;
      } finally {
        session?.close();
      }
      if (session?.ended.aborted === true) throw tokenRejected();
    },
  };
}

function untilEnded(signal: AbortSignal, session: OpenSession | undefined): AbortSignal {
  return session === undefined ? signal : AbortSignal.any([signal, session.ended]);
}

async function expectLive(session: OpenSession | undefined): Promise<void> {
  if (session !== undefined && !(await session.isLive())) throw tokenRejected();
}

async function permitCounted(
  exchange: Exchange,
  target: Target,
  principal: Principal,
  options: AdmissionOptions,
  counting: Promise<Counted>,
): Promise<void> {
  const { headers, refusal } = await counting;
  exchange.rateLimitHeaders = headers;
  if (refusal !== undefined) throw refusal;
  checkPrincipal(target, principal, options);
}

function checkPrincipal(
  { isPublic, needsAcceptedToken, contract }: Target,
  { user, rejectedToken }: Principal,
  { readOnly }: AdmissionOptions,
): void {
  if (rejectedToken !== undefined && needsAcceptedToken && !(readOnly && isPublic)) throw rejectedToken;
  checkAccess(contract, { caller: edgeCaller, user });
}
