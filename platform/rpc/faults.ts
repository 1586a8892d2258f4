import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Call } from "../call/call.ts";

/** What the log says of a fault besides the error. */
export interface FaultContext {
  readonly log: Logger;
  readonly call: Pick<Call, "correlation" | "trace">;
  readonly method: string;
}

/**
 * The refusal that a caller gets for a handler's error: the one in its chain of causes, or `INTERNAL_ERROR` without any text. A fault is
 * logged here, once, with its causes: callers further up see a refusal.
 */
export function refusalFor(error: unknown, { log, call, method }: FaultContext): Refusal {
  const refusal = refusalIn(error);
  if (refusal !== undefined) return refusal;
  log.error({ call, error, method }, "fault in a handler");
  return refuse({ reason: "INTERNAL_ERROR", code: "internal" });
}

/** The refusal for what is not served here, or not any more. The name is for the log: a caller learns nothing of the inside. */
export function notServed(what: string): Refusal {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    retryAfterMs: 1000,
    cause: new Error(`${what} is not served here`),
  });
}
