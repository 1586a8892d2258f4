import { performance } from "node:perf_hooks";
import { randomBytes } from "node:crypto";
import { refuse } from "../errors/refusal.ts";

/** Who is signed in, as the token said. */
export interface User {
  readonly id: string;
  readonly session: string;
  /** "admin", "seller", "support"; a shopper has none. */
  readonly roles: readonly string[];
  /** Whether the e-mail address is verified. */
  readonly verified: boolean;
}

/** W3C trace ids, lower-case hex. */
export interface Trace {
  readonly traceId: string;
  readonly spanId: string;
}

export interface CallInit {
  /** The service that calls; the edge is "gateway". */
  readonly caller: string;
  readonly user?: User | undefined;
  /** On the monotonic clock, `performance.now()` milliseconds. */
  readonly deadlineMs: number;
  readonly idempotencyKey?: string | undefined;
  readonly trace?: Trace | undefined;
  /** The id that all work for one cause shares: a request's, kept through events and tasks. */
  readonly correlation?: string | undefined;
  /** The id of the event or task that led here. */
  readonly causation?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What travels beside a request: who asks, until when, for what cause. Never inside the request itself. */
export class Call {
  readonly caller: string;
  readonly user: User | undefined;
  readonly deadlineMs: number;
  readonly idempotencyKey: string | undefined;
  readonly trace: Trace;
  readonly correlation: string;
  readonly causation: string | undefined;
  #signal: AbortSignal | undefined;

  constructor(init: CallInit) {
    this.caller = init.caller;
    this.user = init.user;
    this.deadlineMs = init.deadlineMs;
    this.idempotencyKey = init.idempotencyKey;
    this.trace = init.trace ?? newTrace();
    this.correlation = init.correlation ?? this.trace.traceId;
    this.causation = init.causation;
    this.#signal = init.signal;
  }

  /** Aborted at the deadline, or when the caller went away. Made when first asked for. */
  get signal(): AbortSignal {
    return (this.#signal ??= AbortSignal.timeout(Math.max(0, Math.ceil(this.remainingMs()))));
  }

  remainingMs(): number {
    return this.deadlineMs - performance.now();
  }

  /** Refuses when the deadline has passed. */
  check(): void {
    if (this.remainingMs() <= 0 || this.#signal?.aborted === true) throw refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
  }

  /** The same call with some of it changed: for calling on. The idempotency key is never passed on by itself. */
  with(change: Partial<CallInit>): Call {
    return new Call({
      caller: this.caller,
      user: this.user,
      deadlineMs: this.deadlineMs,
      trace: this.trace,
      correlation: this.correlation,
      causation: this.causation,
      signal: this.#signalUntil(change.deadlineMs),
      ...change,
    });
  }

  /** The signal that there is already, which a shorter deadline ends too. */
  #signalUntil(deadlineMs = this.deadlineMs): AbortSignal | undefined {
    if (this.#signal === undefined || deadlineMs >= this.deadlineMs) return this.#signal;
    return AbortSignal.any([this.#signal, AbortSignal.timeout(Math.max(0, Math.ceil(deadlineMs - performance.now())))]);
  }

  /** The signed-in user; refuses when there is none. */
  signedIn(): User {
    if (this.user === undefined) throw refuse({ reason: "UNAUTHENTICATED", code: "unauthenticated" });
    return this.user;
  }

  hasRole(...roles: readonly string[]): boolean {
    return this.user !== undefined && this.user.roles.some((role) => roles.includes(role));
  }

  /** Who did it, for the event log: a user's id, or the service's name. */
  get actor(): string {
    return this.user?.id ?? this.caller;
  }
}

/** A call that starts here: a task, a subscription, a command on the shell. */
export function rootCall(init: Omit<CallInit, "deadlineMs"> & { readonly timeoutMs: number }): Call {
  return new Call({ ...init, deadlineMs: performance.now() + init.timeoutMs });
}

function newTrace(): Trace {
  const bytes = randomBytes(24).toString("hex");
  return { traceId: bytes.slice(0, 32), spanId: bytes.slice(32) };
}
