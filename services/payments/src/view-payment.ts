import type { DescMethod } from "@bufbuild/protobuf";
import { isOwnOrAllowed } from "@kontor/platform/rpc/access.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { PaymentNeeds } from "./needs.ts";
import type { PaymentRecord } from "./payment.ts";
import { noSuchPayment } from "./payment-store.ts";

/** A payment that the caller may see, its own or by the method's contract another's. Refuses with NOT_FOUND for any other, so that nobody learns which there are. */
export async function visiblePayment(
  { payments }: PaymentNeeds,
  { method, id }: { readonly method: DescMethod; readonly id: string },
  call: Call,
): Promise<PaymentRecord> {
  const payment = await payments.read(id, call);
  if (!isOwnOrAllowed(method, payment.customer, call)) throw noSuchPayment();
  return payment;
}
