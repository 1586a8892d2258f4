import { refuse } from "./refusal.ts";

/** The refusal for a key that came with another request before. */
export function keyReused(): Error {
  return refuse({ reason: "IDEMPOTENCY_KEY_REUSED", code: "invalid_argument", message: "The key was used with another request" });
}
