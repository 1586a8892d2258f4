import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { indexQueue, productEvents, rebuildQueue, stockEvents } from "./channels.ts";
import { retention } from "./retention.ts";

export const catalog = defineService({
  name: "catalog",
  summary: "categories and products: what is sold and at which price",
  contracts: [CatalogService],
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  subscriptions: [stockEvents, productEvents],
  queues: [indexQueue, rebuildQueue],
  rebuild: async () => (await import("./rebuild.ts")).catalogRebuild,
  load: () => import("./create-service.ts"),
});
