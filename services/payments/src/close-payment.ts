import type { Call } from "@kontor/platform/call/call.ts";
import { attemptUnknown, recordSession } from "./attempt.ts";
import type { PaymentNeeds } from "./needs.ts";
import { close, liveAttempt } from "./payment.ts";
import type { AttemptRecord, PaymentRecord } from "./payment.ts";
import { insertTombstone, lockPaymentIfThere, savePayment } from "./payment-store.ts";

/**
 * Ensures that it can no longer be paid: its live attempt is closed at the provider first, and its outcome is recorded. Gives the payment, CLOSED or CAPTURED or REFUNDED; undefined when there was none (then it can never be opened). Refuses with
 * ATTEMPT_UNKNOWN while the provider does not know.
 */
export const closePayment =
  (needs: PaymentNeeds) =>
  async (id: string, call: Call): Promise<PaymentRecord | undefined> => {
    for (;;) {
      call.check();
      const step = await closeUnlessLive(needs, id, call);
      if (step === "VOID") return undefined;
      if (!("live" in step)) return step;
      const session = await needs.provider.close(step.live.id, call.signal);
      if (session.status === "open" || session.status === "processing") throw attemptUnknown();
      await recordSession(needs, id, session, call);
    }
  };

function closeUnlessLive(needs: PaymentNeeds, id: string, call: Call): Promise<PaymentRecord | { live: AttemptRecord } | "VOID"> {
  return needs.database.transaction(async (tx) => {
    const at = needs.clock.now();
    // Who opens it at the same time has inserted it before our tombstone, or fails on that.
    const found = (await lockPaymentIfThere(tx, id)) ?? ((await insertTombstone(tx, id, at)) ? "VOID" : await lockPaymentIfThere(tx, id));
    if (found === undefined) throw new Error(`payment ${id} has disappeared`);
    if (found === "VOID") return "VOID";
    const payment = found;
    const live = liveAttempt(payment);
    if (payment.status === "OPEN" && live !== undefined) return { live };
    const decision = close(payment);
    return decision === undefined ? payment : savePayment(needs, tx, decision, { call, at });
  });
}
