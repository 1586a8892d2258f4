import type { OrderFact } from "@kontor/orders/src/facts.ts";

/** Whether the shop has the money for an order. */
export function isPaid({ status }: Pick<OrderFact, "status">): boolean {
  return status === "PAID" || status === "COMPLETED";
}
