import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Call } from "../call/call.ts";

export interface FaultPlace {
  readonly log: Logger;
  readonly call: Pick<Call, "correlation" | "trace">;
  readonly method: string;
}

/**
 * What a caller is told about an error of a handler: the refusal in it, or `INTERNAL_ERROR` without any text. A fault is
 * logged here with its chain of causes, once: those further up see a refusal.
 */
export function refusalFor(error: unknown, where: FaultPlace): Refusal {
  const refusal = refusalIn(error);
  if (refusal !== undefined) return refusal;
  where.log.error({ call: where.call, error, method: where.method }, "fault in a handler");
  return refuse({ reason: "INTERNAL_ERROR", code: "internal" });
}
