import { rootCall } from "../call/call.ts";
import type { Call, Trace } from "../call/call.ts";
import type { RecordedEvent } from "./events.ts";

/** How a call's trace is written into an event. */
export function traceText({ traceId, spanId }: Trace): string {
  return `${traceId}-${spanId}`;
}

/** The call under which `service` acts upon an event: the same correlation and trace, caused by it. For appending and adding tasks in `apply`. */
export function callFor(event: RecordedEvent, service: string): Call {
  const [traceId, spanId] = event.trace.split("-");
  const trace = traceId && spanId ? { traceId, spanId } : undefined;
  return rootCall({ caller: service, trace, correlation: event.correlation, causation: event.id, timeoutMs: 5_000 });
}
