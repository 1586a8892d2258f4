import type { DescMessage } from "@bufbuild/protobuf";
import {
  ProductArchivedSchema,
  ProductCreatedSchema,
  ProductDeletedSchema,
  ProductPublishedSchema,
  ProductUpdatedSchema,
} from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import { VerificationRequestedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import {
  ClaimRefusedSchema,
  StockClaimedSchema,
  StockMovedSchema,
  StockReleasedSchema,
  StockReservedSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import {
  OrderCancelledSchema,
  OrderFulfilledSchema,
  OrderPaidSchema,
  OrderReminderDueSchema,
} from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { PaymentCapturedSchema, PaymentRefundedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";

/** Who applies which events of whom. */
export interface KnownSubscription {
  readonly name: string;
  /** The service in whose database it keeps its position. */
  readonly subscriber: string;
  readonly publisher: string;
  readonly types: readonly string[];
}

/**
 * All subscriptions of the house. Written down a second time, because a database keeps the names and not the types of what its service
 * subscribes to, and so that databases can be checked without making the services. A test compares them with the services' own.
 */
export const knownSubscriptions: readonly KnownSubscription[] = [
  one("carts.orders", "orders", [OrderPaidSchema]),
  one("catalog.availability", "inventory", [StockMovedSchema, StockReservedSchema, StockReleasedSchema, StockClaimedSchema]),
  one("catalog.index", "catalog", [
    ProductCreatedSchema,
    ProductUpdatedSchema,
    ProductPublishedSchema,
    ProductArchivedSchema,
    ProductDeletedSchema,
  ]),
  one("checkout.orders", "orders", [OrderCancelledSchema]),
  one("inventory.orders", "orders", [OrderPaidSchema, OrderCancelledSchema]),
  one("notifications.identity", "identity", [VerificationRequestedSchema]),
  one("notifications.orders", "orders", [OrderPaidSchema, OrderReminderDueSchema, OrderCancelledSchema, OrderFulfilledSchema]),
  one("notifications.payments", "payments", [PaymentRefundedSchema]),
  one("orders.claims", "inventory", [ClaimRefusedSchema]),
  one("orders.payments", "payments", [PaymentCapturedSchema, PaymentRefundedSchema]),
];

function one(name: string, publisher: string, schemas: readonly DescMessage[]): KnownSubscription {
  return { name, subscriber: name.slice(0, name.indexOf(".")), publisher, types: schemas.map(eventTypeOf) };
}
