import { fromBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Code, FieldError, Refusal } from "../errors/refusal.ts";

/** What is kept under an idempotency key: the answer's bytes or the refusal. */
export interface GivenAnswer {
  readonly fingerprint: Buffer;
  readonly response: Buffer | null;
  readonly refusal: KeptRefusal | null;
}

/** A refusal as JSON. */
export interface KeptRefusal {
  readonly reason: string;
  readonly code: Code;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly fields: readonly FieldError[];
}

/** Refusals that are an answer: asking again would not change them. */
const decided: ReadonlySet<Code> = new Set<Code>(["failed_precondition", "aborted", "already_exists"]);

export function isDecided(error: unknown): boolean {
  const refusal = refusalIn(error);
  return refusal !== undefined && decided.has(refusal.code);
}

export function storable({ reason, code, message, details, fields }: Refusal): KeptRefusal {
  return { reason, code, message, details, fields };
}

/** Gives the answer as it was given, or throws the refusal. Refuses with IDEMPOTENCY_KEY_REUSED when the fingerprint is another. */
export function asGiven<O extends DescMessage>(output: O, asked: { readonly fingerprint: Buffer }, given: GivenAnswer): MessageShape<O> {
  if (!given.fingerprint.equals(asked.fingerprint))
    throw refuse({ reason: "IDEMPOTENCY_KEY_REUSED", code: "invalid_argument", message: "The key was used with another request" });
  if (given.refusal !== null) throw refuse(given.refusal);
  return fromBinary(output, given.response!);
}
