import type { IncomingHttpHeaders } from "node:http";
import { newTrace, parseTraceparent } from "@kontor/platform/call/trace.ts";
import type { Trace } from "@kontor/platform/call/trace.ts";

/** The caller's trace from a valid W3C `traceparent`, or a new one. */
export function traceOf({ traceparent }: IncomingHttpHeaders): Trace {
  return (typeof traceparent === "string" ? parseTraceparent(traceparent) : undefined) ?? newTrace();
}

const correlationForm = /^[A-Za-z0-9._-]{8,64}$/;

/** The client's own `X-Correlation-Id` when it is safe to log, or the trace's id. */
export function correlationOf(headers: IncomingHttpHeaders, trace: Trace): string {
  const sent = headers["x-correlation-id"];
  return typeof sent === "string" && correlationForm.test(sent) ? sent : trace.traceId;
}
