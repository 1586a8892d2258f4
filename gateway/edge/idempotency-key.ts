import type { IncomingMessage } from "node:http";
import { checkIdempotencyKey } from "@kontor/platform/call/idempotency-key.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** The `Idempotency-Key` of a request. Refuses `IDEMPOTENCY_KEY_REQUIRED` and, for a malformed one, `INVALID_REQUEST`. */
export function idempotencyKeyOf({ headers }: IncomingMessage, required: boolean): string | undefined {
  const sent = headers["idempotency-key"];
  if (sent !== undefined) return checkIdempotencyKey(sent);
  if (required) throw refuse({ reason: "IDEMPOTENCY_KEY_REQUIRED", code: "invalid_argument" });
  return undefined;
}
