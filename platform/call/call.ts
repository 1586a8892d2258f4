import { performance } from "node:perf_hooks";
import { refuse } from "../errors/refusal.ts";
import { newTrace } from "./trace.ts";
import type { Trace } from "./trace.ts";

/** The signed-in user, as the token says. */
export interface User {
  readonly id: string;
  readonly session: string;
  /** "admin", "seller", "support"; a shopper has none. */
  readonly roles: readonly string[];
  /** Whether the e-mail address is verified. */
  readonly verified: boolean;
}

/** Node fires a longer timer at once. */
const timerMsMax = 2 ** 31;

export interface CallInit {
  /** The service that calls; the edge is "gateway". */
  readonly caller: string;
  readonly user?: User | undefined;
  /** Where the request came from: see `Call.origin`. */
  readonly origin?: string | undefined;
  /** On the monotonic clock, `performance.now()` milliseconds. */
  readonly deadlineMs: number;
  readonly idempotencyKey?: string | undefined;
  readonly trace?: Trace | undefined;
  /** The id that all work for one cause shares: that of the request that began it, carried through events and tasks. */
  readonly correlation?: string | undefined;
  /** The id of the event or task that led here. */
  readonly causation?: string | undefined;
  /** Aborted when the caller disconnects or cancels. */
  readonly signal?: AbortSignal | undefined;
}

/** What travels beside a request, never inside it: on whose behalf it is made, until when, for what cause. */
export class Call {
  readonly caller: string;
  readonly user: User | undefined;
  /**
   * The client's address as a pseudonym: equal for equal addresses, and only the gateway can tell which. Limits are counted by it. Undefined for what no
   * request led to.
   */
  readonly origin: string | undefined;
  readonly deadlineMs: number;
  readonly idempotencyKey: string | undefined;
  readonly trace: Trace;
  readonly correlation: string;
  readonly causation: string | undefined;
  /** Aborted when the caller disconnects or cancels; undefined when that cannot happen. */
  readonly callerSignal: AbortSignal | undefined;
  #signal: AbortSignal | undefined;

  constructor(init: CallInit) {
    this.caller = init.caller;
    this.user = init.user;
    this.origin = init.origin;
    this.deadlineMs = init.deadlineMs;
    this.idempotencyKey = init.idempotencyKey;
    this.trace = init.trace ?? newTrace();
    this.correlation = init.correlation ?? this.trace.traceId;
    this.causation = init.causation;
    this.callerSignal = init.signal;
  }

  /** Aborted at the deadline, or when the caller disconnects or cancels. Made at the first use: most calls need none. */
  get signal(): AbortSignal {
    return (this.#signal ??= this.#makeSignal());
  }

  remainingMs(): number {
    return this.deadlineMs - performance.now();
  }

  /** Refuses with DEADLINE_EXCEEDED when the deadline has passed or the caller has cancelled. */
  check(): void {
    if (this.remainingMs() <= 0 || this.callerSignal?.aborted === true)
      throw refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
  }

  /** A copy with changes, for a call that this one leads to. It has no idempotency key unless `change` names one. */
  with(change: Partial<CallInit>): Call {
    return new Call({
      caller: this.caller,
      user: this.user,
      origin: this.origin,
      deadlineMs: this.deadlineMs,
      trace: this.trace,
      correlation: this.correlation,
      causation: this.causation,
      signal: this.callerSignal,
      ...change,
    });
  }

  #makeSignal(): AbortSignal {
    const remainingMs = Math.max(0, Math.ceil(this.remainingMs()));
    const over = remainingMs < timerMsMax ? AbortSignal.timeout(remainingMs) : undefined;
    if (this.callerSignal === undefined) return over ?? new AbortController().signal;
    return over === undefined ? this.callerSignal : AbortSignal.any([this.callerSignal, over]);
  }

  /** The signed-in user; refuses with UNAUTHENTICATED when there is none. */
  signedIn(): User {
    if (this.user === undefined) throw refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated" });
    return this.user;
  }

  hasRole(...roles: readonly string[]): boolean {
    return this.user !== undefined && this.user.roles.some((role) => roles.includes(role));
  }

  /** Who acts, for the event log: a user's id, or the service's name. */
  get actor(): string {
    return this.user?.id ?? this.caller;
  }
}

/** A call that starts here: a task, a subscription, a command on the shell. */
export function rootCall(init: Omit<CallInit, "deadlineMs"> & { readonly timeoutMs: number }): Call {
  return new Call({ ...init, deadlineMs: performance.now() + init.timeoutMs });
}
