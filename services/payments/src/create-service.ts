import { createChanges } from "@kontor/platform/changes/changes.ts";
import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { countDeclines } from "./attempt-limits.ts";
import { checkAttempt, giveAttemptBack } from "./attempt.ts";
import { builtinProvider } from "./builtin-provider.ts";
import { attemptCheckQueue, giveBackQueue, refundQueue } from "./channels.ts";
import type { PaymentNeeds } from "./needs.ts";
import { createPaymentBatches } from "./payment-batches.ts";
import { paymentVersions } from "./payment-store.ts";
import { providerConnection } from "./provider-connection.ts";
import type { Provider } from "./provider.ts";
import { doRefund } from "./refund.ts";
import { paymentsRoute } from "./rpc.ts";
import type { PaymentsSettings } from "./settings.ts";

// A provider may be unavailable for long: what concerns money is repeated until it responds.
const patient = { attemptsMax: 1_000_000, retryDelayMs: 1_000, retryDelayMsMax: 300_000 };

/** Payments with the built-in provider. */
export function createService(context: ServiceContext<PaymentsSettings>): Service {
  return createPayments(context, builtinProvider(providerConnection(context.settings, context.config)));
}

/** Payments with any provider. */
export function createPayments(context: ServiceContext, provider: Provider): Service {
  const { database, cache, log } = context;
  const versionsOf = (payments: readonly string[]) => paymentVersions(database, payments);
  const changes = createChanges({ versionsOf, messages: { cache, channel: "payments.changed" }, log });
  const needs: PaymentNeeds = {
    ...context,
    provider,
    changes,
    payments: createPaymentBatches({ ...context, changes }),
    declines: countDeclines(cache),
  };
  const check = checkAttempt(needs);
  const giveBack = giveAttemptBack(needs);
  const refund = doRefund(needs);
  return {
    routes: [paymentsRoute(needs)],
    queues: [
      queue({ ...attemptCheckQueue, ...patient, run: (task, call) => check(task.payload, call) }),
      queue({ ...giveBackQueue, ...patient, run: (task, call) => giveBack(task.payload, call) }),
      queue({
        ...refundQueue,
        ...patient,
        run: async (task, call) => {
          await refund(task.payload, call);
        },
      }),
    ],
  };
}
