import type { IncomingMessage } from "node:http";
import { checkIdempotencyKey } from "@kontor/platform/call/idempotency-key.ts";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/**
 * The `Idempotency-Key` of a request. Refuses `IDEMPOTENCY_KEY_REQUIRED` and, for a malformed one and where the contract takes none,
 * `INVALID_REQUEST`.
 */
export function idempotencyKeyOf(
  { headers }: IncomingMessage,
  { keyRequired, keys }: Pick<MethodContract, "keyRequired" | "keys">,
): string | undefined {
  const sent = headers["idempotency-key"];
  if (sent === undefined) {
    if (keyRequired) throw refuse({ reason: "IDEMPOTENCY_KEY_REQUIRED", code: "invalid_argument" });
    return undefined;
  }
  if (keys !== "refused") return checkIdempotencyKey(sent);
  const message = "is not taken here: a repeat is executed again";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `An Idempotency-Key ${message}`,
    fields: [{ field: "Idempotency-Key", reason: "NOT_TAKEN", message }],
  });
}
