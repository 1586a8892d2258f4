import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Shopper } from "./shopper.ts";

/** What was confirmed to a shopper about an order: whatever the shop has acknowledged must be there afterwards. */
export interface AcknowledgedOrder {
  readonly key: string;
  readonly cart: string;
  order?: { readonly id: string; readonly text: string };
  /** The provider has sent the shopper back to the shop: the money is taken. */
  paid: boolean;
  /** The shop itself has said so. */
  seenPaid: boolean;
  /** It was to be cancelled after that; "confirmed" when the shop has said that it is. */
  cancelled: "no" | "requested" | "confirmed";
}

const ends = { no: ["PAID"], requested: ["PAID", "CANCELLED"], confirmed: ["CANCELLED"] } as const;

/** Orders one unit, pays, looks, and cancels some of those that are paid: records in `attempts` what was confirmed. Throws at the first response that is not as it should be. */
export async function orderAndPay(shopper: Shopper, sku: string, attempts: AcknowledgedOrder[]): Promise<void> {
  const cart = await shopper.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } });
  const attempt: AcknowledgedOrder = { key: randomUUID(), cart: cart.body.id, paid: false, seenPaid: false, cancelled: "no" };
  attempts.push(attempt);
  const placed = await shopper.expect(201, "POST", "/v1/orders", { json: { cart: attempt.cart }, key: attempt.key });
  attempt.order = { id: placed.body.id, text: placed.text };
  const answer = await shopper.pay(placed.body.payment.url);
  await answer.arrayBuffer();
  assert.equal(answer.status, 303);
  attempt.paid = true;
  attempt.seenPaid = (await shopper.expect(200, "GET", `/v1/orders/${placed.body.id}`)).body.status === "PAID";
  if (!attempt.seenPaid || Math.random() < 0.6) return;
  attempt.cancelled = "requested";
  await shopper.expect(200, "POST", `/v1/orders/${placed.body.id}/cancel`, { json: {} });
  attempt.cancelled = "confirmed";
}

/**
 * The shop is well again: what it has acknowledged is there, the same key gives the same bytes, what was paid is paid, and there is one order a cart and
 * no other.
 */
export async function assertDurable(acknowledged: ReadonlyMap<Shopper, readonly AcknowledgedOrder[]>): Promise<void> {
  await Promise.all(Array.from(acknowledged, ([shopper, attempts]) => assertDurableFor(shopper, attempts)));
}

async function assertDurableFor(shopper: Shopper, attempts: readonly AcknowledgedOrder[]): Promise<void> {
  await shopper.login();
  for (const { key, cart, order, paid, seenPaid, cancelled } of attempts) {
    if (seenPaid && cancelled === "no")
      assert.equal((await shopper.expect(200, "GET", `/v1/orders/${order!.id}`)).body.status, "PAID", "what was PAID stays so");
    const again = await shopper.call("POST", "/v1/orders", { json: { cart }, key });
    assert.equal(again.status, 201, again.text);
    if (order !== undefined) assert.equal(again.text, order.text, "the same key gives the same answer afterwards");
    if (paid) await shopper.until(order!.id, ...ends[cancelled]);
  }
  const ordered = new Set<string>();
  for (let next = "/v1/orders?limit=100"; next !== "";) {
    const { body } = await shopper.expect(200, "GET", next);
    for (const { id } of body.items) ordered.add(id);
    next = body.nextCursor === undefined ? "" : `/v1/orders?limit=100&cursor=${encodeURIComponent(body.nextCursor)}`;
  }
  assert.equal(ordered.size, attempts.length, "one order a cart, and no other");
}

/** Waits for something that the others bring about; throws as soon as one of them does. */
export async function until(reached: () => boolean, others: readonly Promise<void>[]): Promise<void> {
  let failed: { readonly error: unknown } | undefined;
  for (const other of others) other.catch((error: unknown) => (failed ??= { error }));
  while (!reached()) {
    if (failed !== undefined) throw failed.error;
    await pause(5);
  }
}
