import type { ServiceName } from "./model-shop.ts";

/** Where a call between services stands still: "before orders.createOrder". */
export type Pause = `${"before" | "after"} ${(typeof pausable)[number]}`;

/** One thing that shoppers, staff, time, the network or an operator do. `pauseAt` has it stand still at a call, until `continue`. */
export type Step =
  | { readonly do: "place"; readonly cart: number; readonly key: number; readonly pauseAt?: Pause | undefined }
  | { readonly do: "change"; readonly cart: number; readonly sku: 0 | 1; readonly quantity: number }
  | { readonly do: "cancel"; readonly cart: number; readonly by: "customer" | "admin"; readonly pauseAt?: Pause | undefined }
  | { readonly do: "pay"; readonly cart: number; readonly webhooks: number }
  | { readonly do: "decline"; readonly cart: number }
  | { readonly do: "pass"; readonly hours: number; readonly pauseAt?: Pause | undefined }
  /** What has stood still longest goes on, to the next call that it is to pause at. */
  | { readonly do: "continue"; readonly pauseAt?: Pause | undefined }
  /** The answer to the next call of the method is lost: it was done, and its caller does not learn it. */
  | { readonly do: "lose"; readonly method: (typeof losable)[number] }
  /** From now on events wait before the service; all that wait are delivered; all that were are delivered once more. */
  | { readonly do: "late"; readonly service: Subscriber }
  | { readonly do: "deliver" | "repeat" }
  /** The service cannot apply events of the cart's orders, which are parked; an operator replays what is parked. */
  | { readonly do: "park"; readonly service: Subscriber; readonly cart: number }
  | { readonly do: "replay" }
  | { readonly do: "restart"; readonly service: ServiceName; readonly how: "stop" | "crash" };

export type Subscriber = (typeof subscribers)[number];

/** Calls that can stand still. */
export const pausable = [
  "inventory.reserve",
  "inventory.release",
  "orders.createOrder",
  "orders.voidOrder",
  "payments.openPayment",
  "payments.closePayment",
  "payments.refundPayment",
  "carts.removeOrdered",
  "orders.describeOrder",
] as const;
/** Calls whose answers can be lost. */
export const losable = [
  "inventory.reserve",
  "inventory.release",
  "orders.createOrder",
  "orders.voidOrder",
  "payments.openPayment",
  "payments.closePayment",
  "payments.refundPayment",
  "provider.open",
  "provider.read",
  "provider.close",
  "provider.refund",
] as const;
/** Services with subscriptions. */
export const subscribers = ["carts", "checkout", "inventory", "orders"] as const;
