import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { clearCartsQueue, ordersEvents, removeOrderedQueue } from "./channels.ts";
import { cartDocuments } from "./retention.ts";

export const carts = defineService({
  name: "carts",
  summary: "what somebody is about to buy, at the catalogue's prices",
  contracts: [CartsService],
  migrations: new URL("../migrations/", import.meta.url),
  subscriptions: [ordersEvents],
  queues: [removeOrderedQueue, clearCartsQueue],
  documents: [cartDocuments],
  load: () => import("./create-service.ts"),
});
