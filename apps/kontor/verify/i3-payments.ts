import { orderFacts } from "@kontor/orders/src/facts.ts";
import type { OrderFact } from "@kontor/orders/src/facts.ts";
import { paymentFacts } from "@kontor/payments/src/facts.ts";
import type { PaymentFact } from "@kontor/payments/src/facts.ts";
import { compareWithProvider } from "./i3-provider.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { isPaid } from "./is-paid.ts";
import { byId, groupBy, pages } from "./pages.ts";

const atOnce = 1_000;

/** No money without an order, no paid order without money, and the provider's ledger says the same as ours. */
export const paymentsInvariant: Invariant = {
  id: "I3",
  title: "captured payments and paid orders belong together one to one, and the provider's ledger agrees with ours both ways",
  counts: "payments",
  async *check(look) {
    yield* paymentsWithoutOrder(look);
    yield* ordersWithoutPayment(look);
    yield* compareWithProvider(look);
  },
};

async function* paymentsWithoutOrder(look: Look): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(paymentFacts).payments, ({ id }) => id, atOnce)) {
    look.looked(page.length);
    const orders = byId(await look.of(orderFacts).ordersByIds(page.map(({ order }) => order)));
    const refunded = page.filter(({ status }) => status === "REFUNDED").map(({ order }) => order);
    const cancelling = await look.of(orderFacts).cancelling(refunded);
    for (const payment of page) {
      if (look.backlog.waits("orders.payments", payment.id)) continue;
      const order = orders.get(payment.order);
      const problem =
        order === undefined
          ? "which is not there"
          : order.payment !== payment.id
            ? `whose payment is ${order.payment}`
            : problemOf(payment, order, cancelling);
      if (problem !== undefined)
        yield { about: payment.id, text: `payment ${payment.id} is ${payment.status} for order ${payment.order}, ${problem}` };
    }
  }
}

function problemOf(payment: PaymentFact, order: OrderFact, cancelling: ReadonlySet<string>): string | undefined {
  const { status } = order;
  switch (payment.status) {
    case "CAPTURED":
      // Where there was nothing to pay, nothing is given back.
      return isPaid(order) || payment.amountMinor === 0n ? undefined : `which is ${status}`;
    case "REFUNDED":
      if (status === "CANCELLED" || status === "COMPLETED") return undefined;
      return status === "PAID" && cancelling.has(order.id) ? undefined : `which is ${status}`;
    case "OPEN":
      // Somebody could pay for what nobody will get.
      return status === "CANCELLED" || status === "VOID" ? `which is ${status}` : undefined;
    case "CLOSED":
    case "VOID":
      return undefined;
  }
}

async function* ordersWithoutPayment(look: Look): AsyncGenerator<Breach> {
  const read = (after: string, limit: number) => look.of(orderFacts).orders(["PAID", "COMPLETED"], after, limit);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    const captured = groupBy(await look.of(paymentFacts).captured(page.map(({ id }) => id)), ({ order }) => order);
    for (const { id, status, payment, totalMinor } of page) {
      const payments = captured.get(id) ?? [];
      // An order without anything to pay is PAID before its payment is opened.
      if (payments.length === 0 && totalMinor === 0n) continue;
      const [first] = payments;
      if (payments.length === 1 && first?.id === payment) continue;
      const found = payments.length === 0 ? "none was captured" : `captured were ${payments.map((one) => one.id).join(", ")}`;
      yield { about: id, text: `${status} order ${id} is paid by payment ${payment}, but ${found}` };
    }
  }
}
