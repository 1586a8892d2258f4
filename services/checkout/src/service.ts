import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { ordersEvents } from "./channels.ts";
import { retention } from "./retention.ts";

export const checkout = defineService({
  name: "checkout",
  summary: "places orders: a saga over inventory, orders and payments",
  contracts: [CheckoutService],
  retention,
  subscriptions: [ordersEvents],
  load: () => import("./create-service.ts"),
});
