/** The closed set of codes that travel over rpc. Only the gateway knows HTTP statuses. */
export type Code =
  | "invalid_argument"
  | "unauthenticated"
  | "permission_denied"
  | "not_found"
  | "failed_precondition"
  | "aborted"
  | "already_exists"
  | "resource_exhausted"
  | "unimplemented"
  | "unavailable"
  | "deadline_exceeded"
  | "internal";

/** What is wrong with one field. `field` is a JSON path such as `lines[0].quantity`. */
export interface FieldError {
  readonly field: string;
  readonly reason: string;
  readonly message: string;
}

export interface RefusalInit {
  /** The value of a reason enum in a proto: `OUT_OF_STOCK`. */
  readonly reason: string;
  readonly code: Code;
  /** A sentence for a person. */
  readonly message?: string;
  /** Typed facts a client can act on; JSON only, never personal data. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly fields?: readonly FieldError[];
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** An expected failure, whose reason the caller gets. Any other error is a fault. */
export class Refusal extends Error {
  readonly reason: string;
  readonly code: Code;
  readonly details: Readonly<Record<string, unknown>>;
  readonly fields: readonly FieldError[];
  readonly retryAfterMs: number | undefined;

  constructor(init: RefusalInit) {
    super(init.message ?? init.reason, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "Refusal";
    this.reason = init.reason;
    this.code = init.code;
    this.details = init.details ?? {};
    this.fields = init.fields ?? [];
    this.retryAfterMs = init.retryAfterMs;
  }
}

/** Makes a refusal to throw: `throw refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" })`. */
export function refuse(init: RefusalInit): Refusal {
  return new Refusal(init);
}

/** The refusal in an error's chain of causes, so that wrapping never hides one. */
export function refusalIn(error: unknown): Refusal | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) if (at instanceof Refusal) return at;
  return undefined;
}

/** Whether the outcome of a call that failed so is unknown: it may have happened; repeat it with the same key. */
export function outcomeUnknown(error: unknown): boolean {
  const refusal = refusalIn(error);
  return refusal === undefined || ["unavailable", "deadline_exceeded", "internal"].includes(refusal.code);
}
