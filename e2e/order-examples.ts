import type { Step, Subscriber } from "./order-steps.ts";

/** A sequence that once broke something. */
export interface Example {
  readonly name: string;
  /** The services whose events are late from the beginning on. */
  readonly late?: readonly Subscriber[];
  readonly steps: readonly Step[];
}

/** The shortest sequences that the search has found, each with what is right. */
export const examples: readonly Example[] = [
  {
    name: "CART-03: the event of a cancelled order that comes twice frees no cart that has another order by then",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "cancel", cart: 0, by: "customer" },
      { do: "place", cart: 0, key: 1 },
      { do: "repeat" },
      { do: "place", cart: 0, key: 2 },
    ],
  },
  {
    name: "CART-03: nor does that of an order that was cancelled while it was being placed, when it is late",
    late: ["checkout"],
    steps: [
      { do: "place", cart: 0, key: 0, pauseAt: "before payments.openPayment" },
      { do: "cancel", cart: 0, by: "customer" },
      { do: "continue" },
      { do: "place", cart: 0, key: 1 },
      { do: "deliver" },
      { do: "place", cart: 0, key: 2 },
    ],
  },
  {
    name: "CART-03: a cancelled order is nobody's answer, though its event is late",
    late: ["checkout"],
    steps: [{ do: "place", cart: 0, key: 0 }, { do: "cancel", cart: 0, by: "admin" }, { do: "place", cart: 0, key: 1 }, { do: "deliver" }],
  },
  {
    name: "CART-03: one that ran out is nobody's answer either, though its event is parked",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "park", service: "checkout", cart: 0 },
      { do: "pass", hours: 24 },
      { do: "place", cart: 0, key: 1 },
      { do: "replay" },
      { do: "place", cart: 0, key: 2 },
    ],
  },
  {
    name: "CART-03: what was paid is not ordered again and leaves its cart once, though that hears of it late and twice",
    late: ["carts"],
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "change", cart: 0, sku: 0, quantity: 3 },
      { do: "pay", cart: 0, webhooks: 1 },
      { do: "place", cart: 0, key: 1 },
      { do: "deliver" },
      { do: "repeat" },
    ],
  },
  {
    name: "CART-03: a cart that was changed gets no order of other lines",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "change", cart: 0, sku: 0, quantity: 2 },
      { do: "place", cart: 0, key: 1 },
      { do: "change", cart: 0, sku: 0, quantity: 1 },
      { do: "place", cart: 0, key: 1 },
    ],
  },
  {
    name: "CART-03: a cart that is paid keeps what was put in since",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "change", cart: 0, sku: 1, quantity: 2 },
      { do: "pay", cart: 0, webhooks: 0 },
    ],
  },
  {
    name: "ORD-04: a key that joined an order has it also when that is paid and its cart is gone",
    steps: [
      { do: "place", cart: 0, key: 1 },
      { do: "place", cart: 0, key: 0 },
      { do: "pay", cart: 0, webhooks: 1 },
      { do: "place", cart: 0, key: 0 },
    ],
  },
  {
    name: "ORD-04: a key that joined while the order was being placed has it also when that is cancelled",
    steps: [
      { do: "place", cart: 0, key: 1, pauseAt: "after inventory.reserve" },
      { do: "place", cart: 0, key: 0 },
      { do: "continue" },
      { do: "cancel", cart: 0, by: "admin" },
      { do: "place", cart: 0, key: 0 },
    ],
  },
  {
    name: "INV-04 ORD-15: units are held as long as the order may be paid, however long it took to place it",
    steps: [{ do: "place", cart: 0, key: 0, pauseAt: "before inventory.reserve" }, { do: "pass", hours: 2 }, { do: "continue" }],
  },
  {
    name: "INV-04 ORD-15: also when that took longer than the order may be paid",
    steps: [
      { do: "place", cart: 0, key: 0, pauseAt: "after inventory.reserve" },
      { do: "pass", hours: 25 },
      { do: "continue" },
      { do: "pay", cart: 0, webhooks: 1 },
    ],
  },
  {
    name: "INV-06: units come back once, though that they are free is parked",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "park", service: "inventory", cart: 0 },
      { do: "cancel", cart: 0, by: "customer" },
      { do: "place", cart: 0, key: 1 },
      { do: "replay" },
      { do: "repeat" },
    ],
  },
  {
    name: "CON-01: a checkout that another process takes over makes one order, also when its first process goes on later",
    steps: [
      { do: "place", cart: 0, key: 0, pauseAt: "after orders.createOrder" },
      { do: "restart", service: "checkout", how: "crash" },
      { do: "place", cart: 0, key: 0 },
      { do: "pay", cart: 0, webhooks: 1 },
      { do: "continue" },
      { do: "place", cart: 0, key: 0 },
    ],
  },
  {
    name: "PAY-04: a refund whose answers are lost is made once",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "pay", cart: 0, webhooks: 2 },
      { do: "lose", method: "provider.refund" },
      { do: "lose", method: "payments.refundPayment" },
      { do: "cancel", cart: 0, by: "customer" },
      { do: "cancel", cart: 0, by: "admin" },
      { do: "pass", hours: 2 },
    ],
  },
  {
    name: "ORD-15: an order that was paid before it is cancelled is refunded, though nobody has heard of the payment",
    steps: [
      { do: "place", cart: 0, key: 0 },
      { do: "pay", cart: 0, webhooks: 0 },
      { do: "cancel", cart: 0, by: "customer" },
    ],
  },
];
