import { outcomeUnknown } from "@kontor/platform/errors/refusal.ts";
import { ResourceKey } from "@kontor/platform/call/resource-key.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { completePayment, createAttempt } from "./attempt.ts";
import type { PaymentNeeds } from "./needs.ts";
import { resultPage } from "./page.ts";
import type { PaymentRecord } from "./payment.ts";

/** Where a shopper who opens `payment.url` is sent: the provider's page, or the result when there is nothing to pay any more. */
export const openPage =
  (needs: PaymentNeeds) =>
  async (secret: string, call: Call): Promise<string> => {
    const { payments, config } = needs;
    const payment = await payments.readBySecret(secret, call);
    const result = `${config.publicUrl}/pay/${secret}/done`;
    if (payment.status !== "OPEN") return result;
    try {
      return (await createAttempt(needs)(payment, ResourceKey.none, call)).url ?? result;
    } catch (error) {
      // It may have been paid or closed meanwhile: the result says which.
      if ((await payments.read(payment.id, call)).status !== "OPEN") return result;
      throw error;
    }
  };

/** The page for a shopper who comes back from the provider. A provider that does not respond does not keep it from being shown. */
export const finishPage =
  (needs: PaymentNeeds) =>
  async (secret: string, call: Call): Promise<string> => {
    const payment = await needs.payments.readBySecret(secret, call);
    return resultPage(await completeIfKnown(needs, payment, call), needs.config.shopName);
  };

async function completeIfKnown(needs: PaymentNeeds, payment: PaymentRecord, call: Call): Promise<PaymentRecord> {
  try {
    const soon = call.with({ deadlineMs: call.deadlineMs - Math.min(1_000, call.remainingMs() / 4) });
    return await completePayment(needs)(payment, soon);
  } catch (error) {
    if (!outcomeUnknown(error)) throw error;
    needs.log.warn({ call, error, payment: payment.id }, "the provider did not respond for a shopper who came back");
    return payment;
  }
}
