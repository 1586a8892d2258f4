import { httpStatusOf } from "../errors/http-status.ts";
import { refuse } from "../errors/refusal.ts";
import type { Code, FieldError, Refusal } from "../errors/refusal.ts";
import type { MethodContract } from "../contract/contract.ts";

/** Where a method is over HTTP: always by POST, with its request as JSON. */
export function pathOf({ service, method }: Pick<MethodContract, "service" | "method">): string {
  return `/rpc/${service.typeName}/${method.name}`;
}

/** Answers 200 while the process is ready, to anybody. */
export const readyPath = "/readyz";

export const mediaTypes = {
  json: "application/json",
  /**
   * A stream: a line `{"message":…}` for each, and `{"end":{}}`, or with a problem in it, behind the last: without such a line it was cut off.
   */
  lines: "application/x-ndjson",
  problem: "application/problem+json",
} as const;

/** What a line of a stream holds: one of the two. */
export interface StreamLine {
  readonly message?: unknown;
  readonly end?: unknown;
}

interface Problem {
  readonly reason: string;
  readonly code: Code;
  readonly detail: string;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly errors?: readonly FieldError[];
  readonly retryAfterMs?: number;
}

/** A refusal as JSON: all of it but its cause. */
export function encodeProblem({ reason, code, message, details, fields, retryAfterMs }: Refusal): string {
  const problem: Problem = {
    reason,
    code,
    detail: message,
    ...(Object.keys(details).length > 0 && { details }),
    ...(fields.length > 0 && { errors: fields }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
  return JSON.stringify(problem);
}

/** The refusal in a body, or undefined when it is none of ours. */
export function decodeProblem(json: unknown): Refusal | undefined {
  if (!isProblem(json)) return undefined;
  const { reason, code, detail, details, errors, retryAfterMs } = json;
  return refuse({
    reason,
    code,
    message: detail,
    ...(details !== undefined && { details }),
    ...(errors !== undefined && { fields: errors }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  });
}

function isProblem(json: unknown): json is Problem {
  if (typeof json !== "object" || json === null) return false;
  const { reason, code, detail } = json as { readonly [K in keyof Problem]: unknown };
  return typeof reason === "string" && typeof detail === "string" && typeof code === "string" && Object.hasOwn(httpStatusOf, code);
}
