import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { expiryQueue, ordersEvents } from "./channels.ts";
import { retention } from "./retention.ts";
import { settings } from "./settings.ts";

export const inventory = defineService({
  name: "inventory",
  summary: "how many units there are of each SKU, and for whom they are reserved",
  contracts: [InventoryService],
  settings,
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  subscriptions: [ordersEvents],
  queues: [expiryQueue],
  rebuild: async () => (await import("./rebuild.ts")).inventoryRebuild,
  load: () => import("./create-service.ts"),
});
