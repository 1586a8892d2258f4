import { moneyTo } from "@kontor/contracts/money.ts";
import { orderFacts } from "@kontor/orders/src/facts.ts";
import type { OrderFact } from "@kontor/orders/src/facts.ts";
import { paymentFacts } from "@kontor/payments/src/facts.ts";
import type { PaymentFact } from "@kontor/payments/src/facts.ts";
import { providerFacts } from "@kontor/payments/provider/src/facts.ts";
import type { ChargeFact, ProviderRefundFact } from "@kontor/payments/provider/src/facts.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { isPaid } from "./is-paid.ts";
import { byId, pages } from "./pages.ts";
import { entriesOf, throughBuiltin } from "./provider-entries.ts";

const atOnce = 1_000;
const sessionsAtOnce = 5_000;

/** Every sum of money agrees: what the provider has taken, what payments say, and what paid orders come to, for each payment and so in all. */
export const moneyInvariant: Invariant = {
  id: "I4",
  title: "one charge for each attempt; captured − refunded is the same at the provider, in payments and in paid orders",
  counts: "payments",
  async *check(look) {
    const ledger = look.databases.has("provider");
    if (ledger) yield* chargedTwice(look);
    const sums = new Sums();
    for await (const page of pages(look.of(paymentFacts).payments, ({ id }) => id, atOnce)) {
      look.looked(page.length);
      const entries = ledger ? await entriesOf(look, page) : undefined;
      const orders = byId(await look.of(orderFacts).ordersByIds(page.map(({ order }) => order)));
      for (const payment of page) {
        const problems = [...ownProblems(payment), ...orderProblems(payment, orders.get(payment.order), look)];
        if (entries !== undefined && payment.attempts.every(throughBuiltin)) {
          const charges = payment.attempts.flatMap(({ id }) => entries.charges.get(id) ?? []);
          const refunds = payment.attempts.flatMap(({ id }) => entries.refunds.get(id) ?? []);
          problems.push(...providerProblems(payment, charges, refunds));
          sums.add("provider", payment.currency, netOf(charges, refunds));
        }
        sums.add("captured", payment.currency, payment.capturedMinor);
        sums.add("refunded", payment.currency, payment.refundedMinor);
        if (problems.length > 0)
          yield { about: payment.id, text: `payment ${payment.id} for order ${payment.order}: ${problems.join("; ")}` };
      }
    }
    for (const currency of sums.currencies)
      look.note(
        `${currency}: ${amount(currency, sums.of("captured", currency))} captured, ${amount(currency, sums.of("refunded", currency))} refunded`,
      );
    // Beside a running shop these are sums of different moments; what the provider has beyond our payments I3 finds one by one.
    if (ledger && !look.running) yield* strayMoney(look, sums);
  },
};

async function* chargedTwice(look: Look): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(providerFacts).chargeCounts, ({ session }) => session, sessionsAtOnce))
    for (const { session, charges } of page)
      if (charges !== 1) yield { about: session, text: `attempt ${session} was charged ${charges} times` };
}

function ownProblems({
  status,
  currency,
  amountMinor: due,
  capturedMinor: captured,
  refundedMinor: refunded,
  refunds,
}: PaymentFact): string[] {
  const problems: string[] = [];
  const money = (minor: bigint) => amount(currency, minor);
  const done = refunds.reduce((sum, refund) => (refund.status === "REFUND_DONE" ? sum + refund.amountMinor : sum), 0n);
  if (captured !== (status === "CAPTURED" || status === "REFUNDED" ? due : 0n))
    problems.push(`it is ${status} with ${money(captured)} of ${money(due)} captured`);
  if (refunded !== done) problems.push(`${money(refunded)} refunded, its refunds sum to ${money(done)}`);
  if (refunded > captured || (status === "REFUNDED" && refunded !== captured))
    problems.push(`it is ${status} with ${money(refunded)} of ${money(captured)} refunded`);
  return problems;
}

function orderProblems(
  { id, currency, capturedMinor: captured, refundedMinor: refunded }: PaymentFact,
  order: OrderFact | undefined,
  look: Look,
): string[] {
  // One without an order is I3's.
  if (order === undefined || look.backlog.waits("orders.payments", id)) return [];
  if (order.currency !== currency) return [`it is in ${currency}, the order in ${order.currency}`];
  const due = isPaid(order) ? order.totalMinor - refunded : 0n;
  return captured - refunded === due
    ? []
    : [
        `${amount(currency, captured)} − ${amount(currency, refunded)} is kept, and of the ${order.status} order's ${amount(currency, order.totalMinor)} it should be ${amount(currency, due)}`,
      ];
}

function providerProblems(
  { currency, capturedMinor: captured, refundedMinor: refunded, attempts, refunds }: PaymentFact,
  charges: readonly ChargeFact[],
  providerRefunds: readonly ProviderRefundFact[],
): string[] {
  const foreign = [...charges, ...providerRefunds].find((entry) => entry.currency !== currency);
  if (foreign !== undefined) return [`it is in ${currency}, the provider's ${foreign.id} in ${foreign.currency}`];
  // What the provider has done and payments does not know yet, or has not had done yet: I3 checks that a task will.
  const undecided = new Set(attempts.filter(({ status }) => status === "WAITING").map(({ id }) => id));
  const returned = new Set(attempts.filter(({ status }) => status === "RETURNED").map(({ id }) => id));
  const pending = new Set(refunds.filter(({ status }) => status === "REFUND_PENDING").map(({ id }) => id));
  const net = netOf(
    charges.filter(({ session }) => !undecided.has(session) && !returned.has(session)),
    providerRefunds.filter(({ key }) => !pending.has(key) && !returned.has(key)),
  );
  return net === captured - refunded
    ? []
    : [`we keep ${amount(currency, captured - refunded)} of it, the provider says ${amount(currency, net)}`];
}

async function* strayMoney(look: Look, sums: Sums): AsyncGenerator<Breach> {
  const all = new Sums();
  for await (const page of pages(look.of(providerFacts).charges, ({ id }) => id, sessionsAtOnce))
    for (const charge of page) all.add("provider", charge.currency, charge.amountMinor);
  for await (const page of pages(look.of(providerFacts).refunds, ({ id }) => id, sessionsAtOnce))
    for (const refund of page) if (refund.status === "succeeded") all.add("provider", refund.currency, -refund.amountMinor);
  for (const currency of new Set([...sums.currencies, ...all.currencies])) {
    const [theirs, ours] = [all.of("provider", currency), sums.of("provider", currency)];
    if (theirs !== ours)
      yield {
        about: currency,
        text: `the provider's ledger comes to ${amount(currency, theirs)} ${currency}, those of our payments to ${amount(currency, ours)}`,
      };
  }
}

/** Charges less refunds. */
function netOf(charges: readonly ChargeFact[], refunds: readonly ProviderRefundFact[]): bigint {
  const charged = charges.reduce((sum, charge) => sum + charge.amountMinor, 0n);
  return refunds.reduce((sum, refund) => (refund.status === "succeeded" ? sum - refund.amountMinor : sum), charged);
}

function amount(currency: string, minor: bigint): string {
  return moneyTo({ currency, minor }).amount;
}

/** Sums by what they are of and by currency. */
class Sums {
  readonly #sums = new Map<string, bigint>();
  readonly currencies = new Set<string>();

  add(what: "provider" | "captured" | "refunded", currency: string, minor: bigint): void {
    this.currencies.add(currency);
    this.#sums.set(`${what} ${currency}`, this.of(what, currency) + minor);
  }

  of(what: "provider" | "captured" | "refunded", currency: string): bigint {
    return this.#sums.get(`${what} ${currency}`) ?? 0n;
  }
}
