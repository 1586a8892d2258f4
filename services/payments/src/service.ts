import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { attemptCheckQueue, giveBackQueue, refundQueue } from "./channels.ts";
import { retention } from "./retention.ts";
import { settings } from "./settings.ts";

export const payments = defineService({
  name: "payments",
  summary: "payments, attempts and refunds, carried out by a payment provider",
  contracts: [PaymentsService],
  settings,
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  queues: [attemptCheckQueue, giveBackQueue, refundQueue],
  load: () => import("./create-service.ts"),
});
