import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { PaymentNeeds } from "./needs.ts";
import type { PaymentRecord } from "./payment.ts";
import { readPayment } from "./payment-store.ts";

/** A payment that the caller may see. Refuses with NOT_FOUND for any other, so that nobody learns which there are. */
export async function visiblePayment({ database }: PaymentNeeds, id: string, call: Call): Promise<PaymentRecord> {
  const payment = await readPayment(database, id);
  if (payment.customer !== call.signedIn().id && !call.hasRole("admin", "support"))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such payment" });
  return payment;
}
