import type { ResourceKey } from "@kontor/platform/call/resource-key.ts";
import { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import { outcomeUnknown, refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { cartKey, closed, hasMerged, mergeLines, reopened, take } from "./cart.ts";
import { isRepeat } from "./cart-store.ts";
import type { Carts, ReadCart } from "./cart-store.ts";

export interface MergeRequest {
  readonly into: string;
  readonly from: string;
  readonly account: string;
  /** The request's idempotency key, which is stored with the lines. */
  readonly key: ResourceKey;
  /** Of a line. */
  readonly newId: () => string;
}

/**
 * Merges the cart `from` into the account's cart `into`, and removes `from`. They are two documents without a common transaction, so
 * first `from` is closed and names its target, then its lines are added together with its key, then it is deleted: after a crash at any
 * point a repeat continues from there, and adds no line twice. Refuses like `mergeLines`, and then leaves both as they were; with NOT_FOUND
 * without the cart `into`, with INVALID_REQUEST without `from`.
 */
export async function mergeCarts(carts: Carts, { into, from, account, key: ofRequest, newId }: MergeRequest): Promise<ReadCart> {
  const target = { id: into, account };
  const own = (cart: ReadCart["cart"]) => take(cart, account);
  if (into === from) return carts.change(target, own, { key: ofRequest });
  const key = cartKey(from);
  let merged = await carts.read(target);
  if (!isRepeat(merged, { seen: SeenVersion.any, key: ofRequest }) && !hasMerged(merged.cart, key)) {
    const source = { id: from, account, mergingInto: cartKey(into) };
    try {
      const { cart } = await carts.change(source, (before) => {
        // What would be refused now is refused before anything is written.
        mergeLines(merged.cart, { key, cart: before, newId });
        return closed(before, source.mergingInto);
      });
      merged = await carts.change(target, (before) => own(mergeLines(before, { key, cart, newId })), { key: ofRequest, read: merged });
    } catch (error) {
      // When the lines may have been added all the same it stays closed: a repeat finds out.
      if (!outcomeUnknown(error)) await carts.change(source, reopened).catch(refuseSource);
      throw error;
    }
  }
  await carts.deleteByKeys([key]);
  return merged;
}

/** NOT_FOUND is about the cart in the request's path. */
function refuseSource(cause: unknown): never {
  if (refusalIn(cause)?.reason !== "NOT_FOUND") throw cause;
  const message = "is not a cart, or another account's";
  throw refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    message: `from ${message}`,
    fields: [{ field: "from", reason: "NOT_FOUND", message }],
    cause,
  });
}
