import type { AttemptFact, PaymentFact } from "@kontor/payments/src/facts.ts";
import { providerFacts } from "@kontor/payments/provider/src/facts.ts";
import type { ChargeFact, ProviderRefundFact } from "@kontor/payments/provider/src/facts.ts";
import type { Look } from "./invariant.ts";
import { groupBy } from "./pages.ts";

/** Whether the money of an attempt came, or went, through the provider whose ledger can be read. */
export function throughBuiltin({ provider }: AttemptFact): boolean {
  return provider === "builtin";
}

/** The provider's charges and refunds for these payments' attempts, by attempt. */
export async function entriesOf(
  look: Look,
  payments: readonly PaymentFact[],
): Promise<{
  readonly charges: ReadonlyMap<string, readonly ChargeFact[]>;
  readonly refunds: ReadonlyMap<string, readonly ProviderRefundFact[]>;
}> {
  const provider = look.of(providerFacts);
  const sessions = payments.flatMap(({ attempts }) => attempts.filter(throughBuiltin).map(({ id }) => id));
  // Charges first: a refund that comes in between has its charge.
  const charges = await provider.chargesBySessions(sessions);
  const refunds = await provider.refundsBySessions(sessions);
  return { charges: groupBy(charges, ({ session }) => session), refunds: groupBy(refunds, ({ session }) => session) };
}
