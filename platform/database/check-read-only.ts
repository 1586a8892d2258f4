import { compile } from "./sql.ts";
import type { Sql } from "./sql.ts";

const checked = new WeakSet<readonly string[]>();
const writes =
  /\b(insert|update|delete|merge|truncate|create|alter|drop|grant|lock|notify|call|for\s+(no\s+key\s+)?update|for\s+(key\s+)?share|nextval|setval|pg_notify|pg_(try_)?advisory\w*)\b/i;

/**
 * Returns the query; throws when it writes or locks, which would fail on a replica and must fail without one too. What stands in quotes
 * is not checked.
 */
export function checkReadOnly(query: Sql): Sql {
  if (checked.has(query.strings)) return query;
  const { text } = compile(query);
  if (writes.test(text.replace(/'[^']*'|"[^"]*"/g, " ")))
    throw new Error(`reads must not write or lock, but this does: ${text.replace(/\s+/g, " ").trim()}`);
  // The same template with the same parts, and so the same text.
  if (!query.values.some(isPart)) checked.add(query.strings);
  return query;
}

function isPart(value: unknown): boolean {
  return typeof value === "object" && value !== null && "strings" in value;
}
