import type { IncomingMessage } from "node:http";
import { refuse } from "@kontor/platform/errors/refusal.ts";

const keyForm = /^[\x21-\x7e]{1,255}$/;

/** The `Idempotency-Key` of a request. Refuses `IDEMPOTENCY_KEY_REQUIRED` and, for a malformed one, `INVALID_REQUEST`. */
export function idempotencyKeyOf({ headers }: IncomingMessage, required: boolean): string | undefined {
  const sent = headers["idempotency-key"];
  if (sent === undefined) {
    if (required) throw refuse({ reason: "IDEMPOTENCY_KEY_REQUIRED", code: "invalid_argument" });
    return undefined;
  }
  if (typeof sent === "string" && keyForm.test(sent)) return sent;
  const message = "must be 1 to 255 visible ASCII characters";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `Idempotency-Key ${message}`,
    fields: [{ field: "Idempotency-Key", reason: "FORMAT", message }],
  });
}
