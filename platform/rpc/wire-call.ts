import { performance } from "node:perf_hooks";
import { Call } from "../call/call.ts";
import type { User } from "../call/call.ts";
import { formatTrace, parseTrace } from "../call/trace.ts";

/** No message may be larger. A batch of a thousand events fits. */
export const messageBytesMax = 16 * 1024 * 1024;

/** The headers in which a call travels between services, beside the deadline: the same on every wire. */
export const wireHeaders = {
  /** The service that is called: several of one server may serve the same contract. */
  service: "kontor-service",
  /** The service that calls. Its certificate or token must agree. */
  caller: "kontor-caller",
  /** "Bearer <token>" where there are no certificates. */
  token: "authorization",
  /** The rest, as base64url of JSON. */
  facts: "kontor-call",
  /** W3C trace context, for proxies and tracing on the way. */
  trace: "traceparent",
} as const;

/** The headers of a response. */
export const responseHeaders = {
  /** The process that responded. */
  instance: "kontor-instance",
  /** The call was not executed: the caller may send it to another process. */
  notExecuted: "kontor-not-executed",
  /** The server that a call stream leads to: another one after each start. */
  server: "kontor-server",
} as const;

/** The content of the header `facts`, in few letters: it goes with every call. */
interface Facts {
  readonly u?: readonly [id: string, session: string, roles: readonly string[], verified: boolean];
  readonly k?: string;
  readonly s: string;
  readonly c: string;
  readonly b?: string;
  readonly o?: string;
}

/** No call of ours lasts longer. */
const timeoutMsMax = 3_600_000;

/** A call's facts as JSON: what a call stream carries. */
export function formatFacts({ user, origin, idempotencyKey, trace, correlation, causation }: Call): string {
  const facts: Facts = {
    ...(user && { u: [user.id, user.session, user.roles, user.verified] }),
    ...(idempotencyKey !== undefined && { k: idempotencyKey }),
    s: formatTrace(trace),
    c: correlation,
    ...(causation !== undefined && { b: causation }),
    ...(origin !== undefined && { o: origin }),
  };
  return JSON.stringify(facts);
}

/** The value of the header `facts`. */
export function encodeFacts(call: Call): string {
  return Buffer.from(formatFacts(call)).toString("base64url");
}

/** The JSON in the header `facts`. */
export function decodeFacts(header: string): string {
  return Buffer.from(header, "base64url").toString();
}

/** What is left of a call's time, in whole milliseconds, an hour at most; undefined when it has no deadline. */
export function timeoutMsOf(call: Call): number | undefined {
  return Number.isFinite(call.deadlineMs) ? Math.min(Math.max(0, Math.floor(call.remainingMs())), timeoutMsMax) : undefined;
}

export interface WireCall {
  readonly caller: string;
  /** As JSON. */
  readonly facts: string;
  /** What is left of its time. */
  readonly timeoutMs: number;
  /** Aborted when the caller disconnects. */
  readonly signal?: AbortSignal;
}

/** The call that came over a wire, or undefined when its facts cannot be read. */
export function decodeCall({ caller, facts, timeoutMs, signal }: WireCall): Call | undefined {
  const read = factsIn(facts);
  if (read === undefined || Number.isNaN(timeoutMs)) return undefined;
  return new Call({
    caller,
    deadlineMs: performance.now() + Math.min(timeoutMs, timeoutMsMax),
    user: userIn(read),
    idempotencyKey: read.k,
    trace: parseTrace(read.s),
    correlation: read.c,
    causation: read.b,
    origin: read.o,
    signal,
  });
}

function factsIn(text: string): Facts | undefined {
  try {
    const facts: unknown = JSON.parse(text);
    return areFacts(facts) ? facts : undefined;
  } catch {
    return undefined; // the caller gets INVALID_REQUEST
  }
}

function areFacts(value: unknown): value is Facts {
  if (typeof value !== "object" || value === null) return false;
  const { u, k, s, c, b, o } = value as { readonly [K in keyof Facts]: unknown };
  return isText(s) && isText(c) && [k, b, o].every((one) => one === undefined || isText(one)) && (u === undefined || isUser(u));
}

function isUser(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 4) return false;
  const [id, session, roles, verified] = value as readonly unknown[];
  return isText(id) && isText(session) && Array.isArray(roles) && roles.every(isText) && typeof verified === "boolean";
}

const isText = (value: unknown): value is string => typeof value === "string";

function userIn({ u }: Facts): User | undefined {
  if (u === undefined) return undefined;
  const [id, session, roles, verified] = u;
  return { id, session, roles, verified };
}
