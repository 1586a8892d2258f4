// Made by npm run generate.
import { createRegistry } from "@bufbuild/protobuf";
import { file_kontor_api_v1_common } from "./gen/kontor/api/v1/common_pb.js";
import { file_kontor_carts_v1_carts } from "./gen/kontor/carts/v1/carts_pb.js";
import { file_kontor_catalog_v1_catalog } from "./gen/kontor/catalog/v1/catalog_pb.js";
import { file_kontor_catalog_v1_events } from "./gen/kontor/catalog/v1/events_pb.js";
import { file_kontor_checkout_v1_checkout } from "./gen/kontor/checkout/v1/checkout_pb.js";
import { file_kontor_events_v1_events } from "./gen/kontor/events/v1/events_pb.js";
import { file_kontor_identity_v1_events } from "./gen/kontor/identity/v1/events_pb.js";
import { file_kontor_identity_v1_identity } from "./gen/kontor/identity/v1/identity_pb.js";
import { file_kontor_inventory_v1_events } from "./gen/kontor/inventory/v1/events_pb.js";
import { file_kontor_inventory_v1_inventory } from "./gen/kontor/inventory/v1/inventory_pb.js";
import { file_kontor_notifications_v1_notifications } from "./gen/kontor/notifications/v1/notifications_pb.js";
import { file_kontor_orders_v1_events } from "./gen/kontor/orders/v1/events_pb.js";
import { file_kontor_orders_v1_orders } from "./gen/kontor/orders/v1/orders_pb.js";
import { file_kontor_payments_v1_events } from "./gen/kontor/payments/v1/events_pb.js";
import { file_kontor_payments_v1_payments } from "./gen/kontor/payments/v1/payments_pb.js";

/** Every message, enum and service of the contracts. */
export const contracts = createRegistry(
  file_kontor_api_v1_common,
  file_kontor_carts_v1_carts,
  file_kontor_catalog_v1_catalog,
  file_kontor_catalog_v1_events,
  file_kontor_checkout_v1_checkout,
  file_kontor_events_v1_events,
  file_kontor_identity_v1_events,
  file_kontor_identity_v1_identity,
  file_kontor_inventory_v1_events,
  file_kontor_inventory_v1_inventory,
  file_kontor_notifications_v1_notifications,
  file_kontor_orders_v1_events,
  file_kontor_orders_v1_orders,
  file_kontor_payments_v1_events,
  file_kontor_payments_v1_payments,
);
