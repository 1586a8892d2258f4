import { refuse } from "../errors/refusal.ts";

/** An opaque place in a list: the sort values of the last item that was given. */
export function encodeCursor(values: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(values)).toString("base64url");
}

/** The values of a cursor of ours, or undefined for "". Refuses with INVALID_CURSOR when it is not one or has other types. */
export function decodeCursor<const Types extends readonly ("string" | "number")[]>(
  cursor: string,
  types: Types,
): { [K in keyof Types]: Types[K] extends "string" ? string : number } | undefined {
  if (cursor === "") return undefined;
  const values = parse(cursor);
  if (!Array.isArray(values) || values.length !== types.length || !types.every((type, at) => isOf(type, values[at]))) throw invalidCursor();
  return values as { [K in keyof Types]: Types[K] extends "string" ? string : number };
}

/** No NUL in a text, which PostgreSQL cannot take, and no number that is none. */
function isOf(type: "string" | "number", value: unknown): boolean {
  return type === "string" ? typeof value === "string" && !value.includes("\0") : Number.isFinite(value);
}

export function invalidCursor(cause?: unknown): Error {
  return refuse({
    reason: "INVALID_CURSOR",
    code: "invalid_argument",
    message: "The cursor is not one of ours",
    fields: [{ field: "cursor", reason: "INVALID", message: "take it from nextCursor, unchanged" }],
    cause,
  });
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch (error) {
    throw invalidCursor(error);
  }
}

/** How many items a list gives: what was asked for, 20 when nothing was. */
export function pageSize(limit: number): number {
  return limit === 0 ? 20 : limit;
}
