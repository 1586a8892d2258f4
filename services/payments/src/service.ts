import { AttemptCheckSchema, RefundWorkSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { attemptCheckQueue, checkAttempt, giveAttemptBack, giveBackQueue } from "./attempt.ts";
import { builtinProvider } from "./builtin-provider.ts";
import type { PaymentNeeds } from "./needs.ts";
import { doRefund, refundQueue } from "./refund.ts";
import { paymentsRoute } from "./rpc.ts";

// A provider may be away for long, and money is never given up on.
const patient = { attemptsMax: 1_000_000, retryDelayMs: 1_000, retryDelayMsMax: 300_000 };

export const payments: ServiceDefinition = {
  name: "payments",
  migrations: new URL("../migrations/", import.meta.url),
  create: (surroundings) => {
    const needs: PaymentNeeds = { ...surroundings, provider: builtinProvider(surroundings.config.payments) };
    const check = checkAttempt(needs);
    const giveBack = giveAttemptBack(needs);
    const refund = doRefund(needs);
    return {
      routes: [paymentsRoute(needs)],
      queues: [
        queue({ name: attemptCheckQueue, schema: AttemptCheckSchema, ...patient, run: (task, call) => check(task.payload, call) }),
        queue({ name: giveBackQueue, schema: AttemptCheckSchema, ...patient, run: (task, call) => giveBack(task.payload, call) }),
        queue({
          name: refundQueue,
          schema: RefundWorkSchema,
          ...patient,
          run: async (task, call) => {
            await refund(task.payload, call);
          },
        }),
      ],
    };
  },
};
