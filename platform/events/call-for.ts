import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { parseTrace } from "../call/trace.ts";
import type { RecordedEvent } from "./events.ts";

/** The call with which `service` handles an event: with its correlation and trace, and the event as cause. For appending events and adding tasks in `apply`. */
export function callFor(event: RecordedEvent, service: string): Call {
  return rootCall({
    caller: service,
    trace: parseTrace(event.trace),
    correlation: event.correlation,
    causation: event.id,
    timeoutMs: 5_000,
  });
}
