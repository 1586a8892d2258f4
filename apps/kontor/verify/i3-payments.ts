import { sql } from "@kontor/platform/database/sql.ts";
import { checkBooks } from "./i3-books.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { cancellingAmong, isPaid, orderRows, ordersWithIds } from "./order-rows.ts";
import type { OrderRow } from "./order-rows.ts";
import { byId, groupBy, pages } from "./pages.ts";
import { paymentRows } from "./payment-rows.ts";
import type { PaymentRow } from "./payment-rows.ts";

const atOnce = 1_000;

/** No money without an order, no paid order without money, and the provider's books say the same as ours. */
export const paymentsInvariant: Invariant = {
  id: "I3",
  title: "captured payments and paid orders belong together one to one, and the provider's books agree with ours both ways",
  counts: "payments",
  async *check(look) {
    yield* paymentsWithoutOrder(look);
    yield* ordersWithoutPayment(look);
    yield* checkBooks(look);
  },
};

async function* paymentsWithoutOrder(look: Look): AsyncGenerator<Breach> {
  const read = (after: string, limit: number) => paymentRows(look.of("payments"), after, limit);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    look.looked(page.length);
    const orders = byId(
      await ordersWithIds(
        look.of("orders"),
        page.map(({ order }) => order),
      ),
    );
    const cancelling = await cancellingAmong(
      look.of("orders"),
      page.filter(({ status }) => status === "REFUNDED").map(({ order }) => order),
    );
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

function problemOf(payment: PaymentRow, order: OrderRow, cancelling: ReadonlySet<string>): string | undefined {
  const { status } = order;
  switch (payment.status) {
    case "CAPTURED":
      return isPaid(order) ? undefined : `which is ${status}`;
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
  const read = (after: string, limit: number) => orderRows(look.of("orders"), ["PAID", "COMPLETED"], after, limit);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    const captured = groupBy(
      await look
        .of("payments")
        .rows<{ id: string; order: string }>(
          sql`select id, order_id as "order" from payments where order_id = any(${page.map(({ id }) => id)}::text[]) and status in ('CAPTURED', 'REFUNDED')`,
        ),
      ({ order }) => order,
    );
    for (const { id, status, payment } of page) {
      const payments = captured.get(id) ?? [];
      const [first] = payments;
      if (payments.length === 1 && first?.id === payment) continue;
      const found = payments.length === 0 ? "none was captured" : `captured were ${payments.map((one) => one.id).join(", ")}`;
      yield { about: id, text: `${status} order ${id} is paid by payment ${payment}, but ${found}` };
    }
  }
}
