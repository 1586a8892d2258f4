import { Refusal } from "../errors/refusal.ts";
import { maskText, redactValue, shorten } from "./redact.ts";

const causesMax = 8;
const stackLengthMax = 8_000;

/** An error in a log line. */
export interface DescribedError {
  readonly type: string;
  readonly message: string;
  readonly stack?: string;
  /** A refusal's code, PostgreSQL's error code, or node's (`ECONNREFUSED`). */
  readonly code?: string;
  /** A refusal's reason. */
  readonly reason?: string;
  readonly details?: unknown;
  /** The constraint of the database that was broken. */
  readonly constraint?: string;
  readonly causes?: readonly DescribedError[];
}

/**
 * An error for a log line: its masked message, its stack and its causes. Its other properties are left out,
 * because they may hold data: pg's `detail` and `where` quote the row.
 */
export function describeError(error: unknown): DescribedError {
  const causes: DescribedError[] = [];
  const seen = new Set<unknown>([error]);
  const collect = (parent: unknown): void => {
    if (!(parent instanceof Error)) return;
    for (const cause of parent instanceof AggregateError ? [...parent.errors, parent.cause] : [parent.cause]) {
      if (cause === undefined || seen.has(cause) || causes.length >= causesMax) continue;
      seen.add(cause);
      causes.push(describeOne(cause));
      collect(cause);
    }
  };
  collect(error);
  return { ...describeOne(error), ...(causes.length > 0 && { causes }) };
}

function describeOne(error: unknown): DescribedError {
  if (!(error instanceof Error)) return { type: error === null ? "null" : typeof error, message: maskText(shorten(textOf(error))) };
  const stack = framesOf(error);
  return {
    type: error.name,
    message: messageOf(error),
    ...(stack !== undefined && { stack }),
    ...("code" in error && typeof error.code === "string" && { code: error.code }),
    ...("constraint" in error && typeof error.constraint === "string" && { constraint: error.constraint }),
    ...(error instanceof Refusal && {
      reason: error.reason,
      ...(Object.keys(error.details).length > 0 && { details: redactValue(error.details, describeError) }),
    }),
  };
}

function textOf(thrown: unknown): string {
  if (typeof thrown === "string") return thrown;
  return JSON.stringify(redactValue(thrown, describeError)) ?? typeof thrown;
}

function messageOf(error: Error): string {
  // PostgreSQL's data exceptions (class 22) quote the value itself: invalid input syntax for type uuid: "…".
  const quotesValue = isDataException(error) || isDataException(error.cause);
  const message = quotesValue ? error.message.replace(/".*"/s, '"[redacted]"') : error.message;
  return maskText(shorten(message));
}

function isDataException(error: unknown): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && /^22[0-9A-Z]{3}$/.test(error.code);
}

/** The stack's frames alone: its first lines repeat the message, unmasked. */
function framesOf(error: Error): string | undefined {
  const stack = error.stack;
  if (typeof stack !== "string") return undefined;
  const after = stack.indexOf(error.message) + error.message.length;
  const start = stack.indexOf("\n    at ", Math.max(0, after));
  return start < 0 ? undefined : maskText(stack.slice(start + 1, start + 1 + stackLengthMax));
}
