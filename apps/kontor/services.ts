import type { DescService } from "@bufbuild/protobuf";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { NotificationsService } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { serviceNames } from "./roles.ts";
import type { ServiceName } from "./roles.ts";

interface ServiceEntry {
  /** What it offers at the edge and to others, for who calls it from another process. */
  readonly contract: DescService;
  /** Its code is read only where it runs. */
  readonly load: () => Promise<ServiceDefinition>;
}

const entries: Readonly<Record<ServiceName, ServiceEntry>> = {
  identity: { contract: IdentityService, load: async () => (await import("@kontor/identity")).identity },
  catalog: { contract: CatalogService, load: async () => (await import("@kontor/catalog")).catalog },
  inventory: { contract: InventoryService, load: async () => (await import("@kontor/inventory")).inventory },
  carts: { contract: CartsService, load: async () => (await import("@kontor/carts")).carts },
  checkout: { contract: CheckoutService, load: async () => (await import("@kontor/checkout")).checkout },
  orders: { contract: OrdersService, load: async () => (await import("@kontor/orders")).orders },
  payments: { contract: PaymentsService, load: async () => (await import("@kontor/payments")).payments },
  notifications: { contract: NotificationsService, load: async () => (await import("@kontor/notifications")).notifications },
};

/** The definitions of the named services; all of the house by default. */
export function loadServices(names: readonly ServiceName[] = serviceNames): Promise<ServiceDefinition[]> {
  return Promise.all(names.map((name) => entries[name].load()));
}

/** The contracts of the whole house, by service, wherever it runs. */
export const serviceContracts: ReadonlyMap<string, readonly { readonly service: DescService }[]> = new Map(
  serviceNames.map((name) => [name, [{ service: entries[name].contract }]]),
);
