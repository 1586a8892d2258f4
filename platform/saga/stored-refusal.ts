import { Refusal } from "../errors/refusal.ts";
import type { RefusalInit } from "../errors/refusal.ts";

/** A refusal as it lies in a saga's row. */
export type StoredRefusal = Pick<RefusalInit, "reason" | "code" | "message" | "details" | "fields" | "retryAfterMs">;

export function storeRefusal({ reason, code, message, details, fields, retryAfterMs }: Refusal): StoredRefusal {
  return { reason, code, message, details, fields, ...(retryAfterMs !== undefined && { retryAfterMs }) };
}

/** The refusal again, equal to the one stored. */
export function restoreRefusal(stored: StoredRefusal): Refusal {
  return new Refusal(stored);
}

/** Whether a saga was taken back because somebody was away: then it is told while that still lasts. */
export function isGivenUp({ code }: StoredRefusal): boolean {
  return code === "unavailable";
}

/** Whether a repeat with the same key gets this refusal again. Others are asked anew: what was missing or forbidden may have changed. */
export function keptForItsKey({ code }: Pick<Refusal, "code">): boolean {
  return code === "failed_precondition" || code === "aborted" || code === "already_exists";
}
