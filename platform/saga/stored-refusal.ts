import { Refusal } from "../errors/refusal.ts";
import type { RefusalInit } from "../errors/refusal.ts";

/** A refusal as it is stored in a saga's row. */
export type StoredRefusal = Pick<RefusalInit, "reason" | "code" | "message" | "details" | "fields" | "retryAfterMs">;

export function storeRefusal({ reason, code, message, details, fields, retryAfterMs }: Refusal): StoredRefusal {
  return { reason, code, message, details, fields, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** The refusal again, equal to the one stored. */
export function restoreRefusal(stored: StoredRefusal): Refusal {
  return new Refusal(stored);
}

/** Whether a saga is undone because a service was unavailable: its callers get that refusal before the undoing ends. */
export function isUnavailable({ code }: StoredRefusal): boolean {
  return code === "unavailable";
}

/** Whether a repeat with the same key gets this refusal again. After others it runs again: what was missing or forbidden may have changed. */
export function isStoredForKey({ code }: Pick<Refusal, "code">): boolean {
  return code === "failed_precondition" || code === "aborted" || code === "already_exists";
}
