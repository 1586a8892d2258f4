import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { clearCartsQueue, ordersEvents, sweepCartsQueue } from "./channels.ts";

export const carts = defineService({
  name: "carts",
  summary: "what somebody is about to buy, at the catalogue's prices",
  contracts: [CartsService],
  subscriptions: [ordersEvents],
  queues: [clearCartsQueue, sweepCartsQueue],
  documents: ["carts"],
  load: () => import("./create-service.ts"),
});
