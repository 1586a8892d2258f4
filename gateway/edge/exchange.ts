import type { IncomingMessage, ServerResponse } from "node:http";
import { performance } from "node:perf_hooks";
import type { Trace } from "@kontor/platform/call/trace.ts";
import { correlationOf, traceOf } from "./trace.ts";

/** One HTTP request and its response, whatever they are for. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** By the monotonic clock. */
  readonly startedMs: number;
  readonly trace: Trace;
  readonly correlation: string;
  /** The route's template once it is known, for the log. The path itself may contain a cart's id, which is a secret. */
  template: string;
  /** The `RateLimit` headers once the request is counted: every response carries them, a refusal too. A flat list of names and values. */
  rateLimitHeaders: readonly string[];
  /** That a token was sent which is not accepted, where its sender is served as a guest. A flat list of names and values. */
  tokenHeaders: readonly string[];
}

/** What the headers say of a request that has just arrived. */
export function openExchange(request: IncomingMessage, response: ServerResponse): Exchange {
  const trace = traceOf(request.headers);
  return {
    request,
    response,
    startedMs: performance.now(),
    trace,
    correlation: correlationOf(request.headers, trace),
    template: "-",
    rateLimitHeaders: none,
    tokenHeaders: none,
  };
}

const none: readonly string[] = [];
