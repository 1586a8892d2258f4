import { rootCall } from "../call/call.ts";
import type { Call, Trace } from "../call/call.ts";
import type { RecordedEvent } from "./events.ts";

/** A call's trace as text, as events store it. */
export function traceText({ traceId, spanId }: Trace): string {
  return `${traceId}-${spanId}`;
}

/** The call with which `service` handles an event: with its correlation and trace, and the event as cause. For appending events and adding tasks in `apply`. */
export function callFor(event: RecordedEvent, service: string): Call {
  const [traceId, spanId] = event.trace.split("-");
  const trace = traceId && spanId ? { traceId, spanId } : undefined;
  return rootCall({ caller: service, trace, correlation: event.correlation, causation: event.id, timeoutMs: 5_000 });
}
