import { checkoutFacts } from "@kontor/checkout/src/facts.ts";
import type { CheckoutFact } from "@kontor/checkout/src/facts.ts";
import { checkoutKeptMs } from "@kontor/checkout/src/retention.ts";
import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { orderFacts } from "@kontor/orders/src/facts.ts";
import type { OrderFact } from "@kontor/orders/src/facts.ts";
import { paymentFacts } from "@kontor/payments/src/facts.ts";
import type { PaymentFact } from "@kontor/payments/src/facts.ts";
import { keysWithoutResponse } from "@kontor/platform/database/database-facts.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { IdCounts } from "./id-counts.ts";
import { hasEvents } from "./i8-applied.ts";
import { firstKept } from "./first-kept.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { byId, pages } from "./pages.ts";

const atOnce = 1_000;
const keysAtOnce = 10_000;

/** What a response promised exists, once: an order for every checkout that was placed, none for one that was refused, one that can be paid for a cart. */
export const responsesInvariant: Invariant = {
  id: "I10",
  title:
    "every placed checkout has its response, its order and its payment; every order one checkout, as long as those are kept; every key one response; every cart at most one live order",
  counts: "checkouts",
  async *check(look) {
    const placed = new IdCounts();
    yield* checkouts(look, placed);
    const kept = firstKept("ord", checkoutKeptMs, look);
    const read = (after: string, limit: number) => look.of(orderFacts).orders(["PENDING", "PAID", "COMPLETED", "CANCELLED"], after, limit);
    for await (const page of pages(read, ({ id }) => id, atOnce))
      for (const { id } of page) {
        const count = placed.count(id);
        if (count > 1 || (count === 0 && id >= kept)) yield { about: id, text: `order ${id} has ${count} checkouts` };
      }
    yield* keysOfTwo(look);
    for (const [service, database] of look.databases) if (hasEvents(service)) yield* keysWithoutResponses(service, database);
  },
};

/** Looks at all checkouts and counts them by order. */
async function* checkouts(look: Look, placed: IdCounts): AsyncGenerator<Breach> {
  /** The live order of each cart: no more than can be paid at a time, and so far fewer than there are. */
  const live = new Map<string, string>();
  for await (const page of pages(look.of(checkoutFacts).checkouts, ({ id }) => id, atOnce)) {
    look.looked(page.length);
    const inputs = page.flatMap(({ input }) => input ?? []);
    const orders = byId(await look.of(orderFacts).ordersByIds(inputs.map(({ order }) => order)));
    const payments = byId(await look.of(paymentFacts).paymentsByIds(inputs.map(({ payment }) => payment)));
    for (const { id, input, ...checkout } of page) {
      if (input === undefined) {
        yield { about: id, text: `checkout ${id} has an input that cannot be read` };
        continue;
      }
      placed.add(input.order);
      const problem = problemOf({ ...checkout, input }, orders.get(input.order), payments.get(input.payment));
      if (problem !== undefined) yield { about: id, text: `checkout ${id} is ${checkout.status}, and ${problem}` };
      if (input.cart === "" || orders.get(input.order)?.status !== "PENDING") continue;
      const other = live.get(input.cart);
      const cancelling = other === undefined ? new Set() : await look.of(orderFacts).cancelling([other, input.order]);
      if (other !== undefined && cancelling.size === 0)
        yield { about: input.cart, text: `the orders ${other} and ${input.order} of one cart are both PENDING` };
      if (!cancelling.has(input.order)) live.set(input.cart, input.order);
    }
  }
}

function problemOf(
  { status, input, order: response, refused }: Omit<CheckoutFact, "id" | "input"> & { readonly input: PlaceOrderInput },
  order: OrderFact | undefined,
  payment: PaymentFact | undefined,
): string | undefined {
  switch (status) {
    case "RUNNING":
    case "UNDOING":
      return undefined;
    case "REFUSED":
      if (!refused) return "it has no refusal to respond with";
      if (order !== undefined && order.status !== "VOID" && order.status !== "CANCELLED") return `its order ${order.id} is ${order.status}`;
      return payment !== undefined && (payment.status === "OPEN" || payment.status === "CAPTURED")
        ? `its payment ${payment.id} is ${payment.status}`
        : undefined;
    case "DONE": {
      if (response === undefined) return "it has no response";
      if (response.id !== input.order) return `it responds with order ${response.id} instead of ${input.order}`;
      if (order === undefined || order.status === "VOID") return `its order ${input.order} is ${order?.status ?? "not there"}`;
      if (order.payment !== input.payment || order.customer !== input.customer)
        return `its order ${input.order} has another payment or customer`;
      if (payment === undefined || payment.status === "VOID") return `its payment ${input.payment} is ${payment?.status ?? "not there"}`;
      return payment.order === input.order ? undefined : `its payment ${payment.id} is for order ${payment.order}`;
    }
  }
}

async function* keysOfTwo(look: Look): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(checkoutFacts).keys, ({ key }) => key, keysAtOnce))
    for (const { checkouts: begun } of page)
      if (begun.length > 1) yield { about: begun[0]!, text: `the checkouts ${begun.join(", ")} have one idempotency key` };
}

/** A key is claimed and gets its response in one transaction: no other transaction ever sees it without. */
async function* keysWithoutResponses(service: string, database: Queries): AsyncGenerator<Breach> {
  for (let after = ""; ;) {
    const { found, last, empty } = await keysWithoutResponse(database, after, keysAtOnce);
    if (empty > 0) yield { about: `${service} ${after}`, text: `${service} has ${empty} idempotency keys without a response` };
    if (found < keysAtOnce || last === null) return;
    after = last;
  }
}
