import { AttemptCheckSchema, RefundWorkSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { InstallationConfig, ServiceDefinition } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { attemptCheckQueue, checkAttempt, giveAttemptBack, giveBackQueue } from "./attempt.ts";
import { builtinProvider } from "./builtin-provider.ts";
import type { PaymentNeeds } from "./needs.ts";
import type { Provider } from "./provider.ts";
import { doRefund, refundQueue } from "./refund.ts";
import { paymentsRoute } from "./rpc.ts";

// A provider may be unavailable for long: what concerns money is repeated until it responds.
const patient = { attemptsMax: 1_000_000, retryDelayMs: 1_000, retryDelayMsMax: 300_000 };

export interface PaymentsOptions {
  /** Where the money comes from: the built-in provider by default. */
  readonly provider?: (config: InstallationConfig["payments"]) => Provider;
}

/** The payments service with a provider. */
export const createPayments = ({ provider = builtinProvider }: PaymentsOptions): ServiceDefinition => ({
  name: "payments",
  migrations: new URL("../migrations/", import.meta.url),
  create: (context) => {
    const needs: PaymentNeeds = { ...context, provider: provider(context.config.payments) };
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
});

export const payments: ServiceDefinition = createPayments({});
