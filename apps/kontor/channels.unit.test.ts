import assert from "node:assert/strict";
import { it } from "node:test";
import * as services from "./services.ts";

/**
 * What processes take under each name. A name means the same in the version before, whose processes run beside these during an update and take of it what
 * they know: an event of a type that is added to a subscription would be passed over by them, and a task with a field that they do not know would be done
 * without it. So nothing is added here to a name that there is; it gets a new one, and the old one stays for what the version before has written.
 */
const released: Readonly<Record<string, readonly string[]>> = {
  "carts: carts.orders": ["OrderPaid"],
  "carts: clear-carts": ["keys"],
  "carts: remove-ordered": ["orders"],
  "catalog: catalog.availability": ["StockClaimed", "StockMoved", "StockReleased", "StockReserved"],
  "catalog: catalog.index": ["ProductArchived", "ProductCreated", "ProductDeleted", "ProductPublished", "ProductUpdated"],
  "catalog: index-products": ["products"],
  "catalog: rebuild-index": ["products"],
  "checkout: checkout.orders": ["OrderCancelled"],
  "inventory: expire-reservations": [],
  "inventory: inventory.orders": ["OrderCancelled", "OrderPaid"],
  "notifications: notifications.identity": ["VerificationRequested"],
  "notifications: notifications.identity-mails": ["PasswordResetRequested", "RegistrationMailRequested"],
  "notifications: notifications.orders": ["OrderCancelled", "OrderFulfilled", "OrderPaid", "OrderReminderDue"],
  "notifications: notifications.payments": ["PaymentRefunded"],
  "notifications: send-identity-mail": ["notification", "kind", "account", "subject", "hours", "amount"],
  "notifications: send-notification": ["notification", "kind", "account", "subject", "hours", "amount"],
  "orders: order-clock": ["order"],
  "orders: order-take-back": ["order", "cause", "actor"],
  "orders: orders.claims": ["ClaimRefused"],
  "orders: orders.payments": ["PaymentCaptured", "PaymentRefunded"],
  "payments: check-attempt": ["payment", "attempt"],
  "payments: give-attempt-back": ["payment", "attempt"],
  "payments: refund": ["payment", "refund"],
};

it("DAT-07, MSG-03: a subscription takes the types of events, and a queue the payload, that its name has had from the beginning", () => {
  const taken = Object.values(services).flatMap(({ name, subscriptions = [], queues = [] }) => [
    ...subscriptions.map((each) => [`${name}: ${each.name}`, each.schemas.map((schema) => schema.name).toSorted()] as const),
    ...queues.map((each) => [`${name}: ${each.name}`, each.schema.fields.map((field) => field.name)] as const),
  ]);
  assert.deepEqual(Object.fromEntries(taken), released);
});
