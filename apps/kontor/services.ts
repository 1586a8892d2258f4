import { carts } from "@kontor/carts";
import { catalog } from "@kontor/catalog";
import { checkout } from "@kontor/checkout";
import { identity } from "@kontor/identity";
import { inventory } from "@kontor/inventory";
import { notifications } from "@kontor/notifications";
import { orders } from "@kontor/orders";
import { payments } from "@kontor/payments";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";

/** All services of the house. */
export const services: readonly ServiceDefinition[] = [identity, catalog, inventory, carts, checkout, orders, payments, notifications];
