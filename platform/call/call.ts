import { performance } from "node:perf_hooks";
import { randomFillSync } from "node:crypto";
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

/** No timer lasts longer. */
const timerMsMax = 2 ** 31;

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
  /** Aborted when the caller goes away. */
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
  /** Aborted when the caller goes away; undefined when nobody would know. */
  readonly gone: AbortSignal | undefined;
  #signal: AbortSignal | undefined;

  constructor(init: CallInit) {
    this.caller = init.caller;
    this.user = init.user;
    this.deadlineMs = init.deadlineMs;
    this.idempotencyKey = init.idempotencyKey;
    this.trace = init.trace ?? newTrace();
    this.correlation = init.correlation ?? this.trace.traceId;
    this.causation = init.causation;
    this.gone = init.signal;
  }

  /** Aborted at the deadline, or when the caller went away. Made when first asked for. */
  get signal(): AbortSignal {
    return (this.#signal ??= this.#makeSignal());
  }

  remainingMs(): number {
    return this.deadlineMs - performance.now();
  }

  /** Refuses when the deadline has passed. */
  check(): void {
    if (this.remainingMs() <= 0 || this.gone?.aborted === true) throw refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
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
      signal: this.gone,
      ...change,
    });
  }

  #makeSignal(): AbortSignal {
    const remainingMs = Math.max(0, Math.ceil(this.remainingMs()));
    const over = remainingMs < timerMsMax ? AbortSignal.timeout(remainingMs) : undefined;
    if (this.gone === undefined) return over ?? new AbortController().signal;
    return over === undefined ? this.gone : AbortSignal.any([this.gone, over]);
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

const traceBytes = 24;
/** Asking the system for randomness costs more than many a call, so it is asked for many traces at a time. */
const random = Buffer.alloc(traceBytes * 128);
let randomUsed = random.length;

function newTrace(): Trace {
  if (randomUsed === random.length) {
    randomFillSync(random);
    randomUsed = 0;
  }
  const text = random.toString("hex", randomUsed, (randomUsed += traceBytes));
  return { traceId: text.slice(0, 32), spanId: text.slice(32) };
}
