import { fromBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { keyReused } from "../errors/key-reused.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Code, FieldError, Refusal } from "../errors/refusal.ts";

/** What is stored under an idempotency key: the reply's bytes or the refusal. */
export interface StoredReply {
  readonly fingerprint: Buffer;
  readonly response: Buffer | null;
  readonly refusal: StoredRefusal | null;
}

/** A refusal as JSON. */
export interface StoredRefusal {
  readonly reason: string;
  readonly code: Code;
  readonly message: string;
  readonly details: Readonly<Record<string, unknown>>;
  readonly fields: readonly FieldError[];
}

/** Refusals that are decisions: a repeat would not change them. */
const decided: ReadonlySet<Code> = new Set<Code>(["failed_precondition", "aborted", "already_exists"]);

export function isDecided(error: unknown): boolean {
  const refusal = refusalIn(error);
  return refusal !== undefined && decided.has(refusal.code);
}

export function storable({ reason, code, message, details, fields }: Refusal): StoredRefusal {
  return { reason, code, message, details, fields };
}

/** Gives the stored reply, or throws the stored refusal. Refuses with IDEMPOTENCY_KEY_REUSED when the request has another fingerprint. */
export function repeatReply<O extends DescMessage>(
  output: O,
  request: { readonly fingerprint: Buffer },
  stored: StoredReply,
): MessageShape<O> {
  if (!stored.fingerprint.equals(request.fingerprint)) throw keyReused();
  if (stored.refusal !== null) throw refuse(stored.refusal);
  return fromBinary(output, stored.response!);
}
