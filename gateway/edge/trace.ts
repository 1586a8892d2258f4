import { randomFillSync } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Trace } from "@kontor/platform/call/call.ts";

const traceBytes = 24;
const pool = Buffer.alloc(traceBytes * 256);
let poolText = "";
let poolAt = 0;

/** A trace that starts here. Random bytes are drawn for many at once: a draw costs more than all the rest of it. */
export function newTrace(): Trace {
  if (poolAt === poolText.length) {
    poolText = randomFillSync(pool).toString("hex");
    poolAt = 0;
  }
  const from = poolAt;
  poolAt += traceBytes * 2;
  return { traceId: poolText.slice(from, from + 32), spanId: poolText.slice(from + 32, from + 48) };
}

const traceparentForm = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;

/** The caller's trace from a valid W3C `traceparent`, or a new one. */
export function traceOf(headers: IncomingHttpHeaders): Trace {
  const sent = headers["traceparent"];
  if (typeof sent !== "string" || sent.length > 100) return newTrace();
  const parts = traceparentForm.exec(sent);
  return parts === null ? newTrace() : { traceId: parts[1]!, spanId: parts[2]! };
}

const correlationForm = /^[A-Za-z0-9._-]{8,64}$/;

/** The client's own `X-Correlation-Id` when it is safe to log, or the trace's id. */
export function correlationOf(headers: IncomingHttpHeaders, trace: Trace): string {
  const sent = headers["x-correlation-id"];
  return typeof sent === "string" && correlationForm.test(sent) ? sent : trace.traceId;
}
