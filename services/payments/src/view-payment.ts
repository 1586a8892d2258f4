import type { Call } from "@kontor/platform/call/call.ts";
import type { PaymentNeeds } from "./needs.ts";
import type { PaymentRecord } from "./payment.ts";
import { noSuchPayment } from "./payment-store.ts";

/** A payment that the caller may see. Refuses with NOT_FOUND for any other, so that nobody learns which there are. */
export async function visiblePayment({ payments }: PaymentNeeds, id: string, call: Call): Promise<PaymentRecord> {
  const payment = await payments.read(id, call);
  if (payment.customer !== call.signedIn().id && !call.hasRole("admin", "support")) throw noSuchPayment();
  return payment;
}
