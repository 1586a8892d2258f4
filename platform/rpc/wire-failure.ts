import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { TransportFailure } from "./transport.ts";

/** A response that is not a message. */
export interface WireFailure {
  /** The status code by its name in lower case: one of gRPC's or Connect's, which are the same. */
  readonly code: string;
  readonly message: string;
  /** The callee's refusal, where the response has one. */
  readonly refusal: Refusal | undefined;
  /** The callee says that it did not execute the call. */
  readonly notExecuted: boolean;
}

/** What the caller of a call that failed gets: the callee's refusal, or what happened on the way. */
export function failureOf({ code, message, refusal, notExecuted }: WireFailure): Error {
  if (refusal !== undefined && !notExecuted) return refusal;
  const cause = new Error(`${code}: ${message}`);
  switch (code) {
    case "deadline_exceeded":
    case "canceled":
    case "cancelled":
      return refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded", cause });
    case "resource_exhausted":
      // A message that is too large will be too large the next time too.
      return refuse({ reason: "INTERNAL_ERROR", code: "internal", cause });
    default:
      return new TransportFailure(cause.message, { notExecuted: notExecuted || code === "unimplemented" });
  }
}
