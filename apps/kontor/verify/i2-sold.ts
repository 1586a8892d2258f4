import { inventoryFacts } from "@kontor/inventory/src/facts.ts";
import { orderFacts } from "@kontor/orders/src/facts.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { isPaid } from "./is-paid.ts";
import { byId, chunks, pages } from "./pages.ts";

interface Units {
  readonly sku: string;
  readonly quantity: number;
}

const atOnce = 1_000;

/** Nothing is sold that was never there: every paid order has exactly its units, and all of them together are no more than came in. */
export const soldInvariant: Invariant = {
  id: "I2",
  title: "every paid order has been sold exactly its units, and no more of what is counted were sold than ever received",
  counts: "paid orders",
  async *check(look) {
    const sold = new Map<string, number>();
    yield* unsoldOrders(look, sold);
    yield* oversoldSkus(look, sold);
    yield* soldForNothing(look);
  },
};

/** Also sums up what was sold, into `sold`. */
async function* unsoldOrders(look: Look, sold: Map<string, number>): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(orderFacts).paidOrders, ({ id }) => id, atOnce)) {
    look.looked(page.length);
    const reservations = byId(await look.of(inventoryFacts).reservationsByOrders(page.map(({ id }) => id)));
    for (const order of page) {
      const { state } = order;
      // One that is being cancelled gives its units back, or never had them because its claim was refused.
      if (state === undefined || state.cancelling) continue;
      if (look.backlog.waits("inventory.orders", order.id) || look.backlog.waits("orders.claims", order.id)) continue;
      const units = sumBySku(state.lines);
      for (const [sku, quantity] of units) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
      const reservation = reservations.get(order.id);
      if (reservation === undefined) yield breach(order.id, `${order.status} order ${order.id} has no reservation`);
      else if (reservation.status !== "SOLD")
        yield breach(order.id, `the reservation of ${order.status} order ${order.id} is ${reservation.status}, not SOLD`);
      else if (!sameUnits(units, sumBySku(reservation.lines)))
        yield breach(order.id, `order ${order.id} has ${inWords(units)}, its reservation ${inWords(sumBySku(reservation.lines))}`);
    }
  }
}

async function* oversoldSkus(look: Look, sold: ReadonlyMap<string, number>): AsyncGenerator<Breach> {
  for (const skus of chunks([...sold.keys()], atOnce)) {
    const sellable = await look.of(inventoryFacts).sellableUnits(skus);
    for (const sku of skus) {
      const units = sellable.get(sku) ?? 0;
      if (sold.get(sku)! > units)
        yield breach(sku, `SKU ${sku}: ${sold.get(sku)} units are on paid orders and ${units} were ever received`);
    }
  }
}

/** Units that are gone although nobody has paid for them could have been sold to others. */
async function* soldForNothing(look: Look): AsyncGenerator<Breach> {
  const read = (after: string, limit: number) => look.of(inventoryFacts).reservations("SOLD", after, limit);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    const ids = page.map(({ id }) => id);
    const orders = byId(await look.of(orderFacts).ordersByIds(ids));
    for (const id of ids) {
      const order = orders.get(id);
      if ((order === undefined || !isPaid(order)) && !look.backlog.waits("inventory.orders", id))
        yield breach(id, `the reservation of order ${id} is SOLD, but the order is ${order?.status ?? "not there"}`);
    }
  }
}

function sumBySku(lines: readonly Units[]): Map<string, number> {
  const sums = new Map<string, number>();
  for (const { sku, quantity } of lines) sums.set(sku, (sums.get(sku) ?? 0) + quantity);
  return sums;
}

function sameUnits(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([sku, quantity]) => b.get(sku) === quantity);
}

function inWords(units: ReadonlyMap<string, number>): string {
  return units.size === 0 ? "nothing" : Array.from(units, ([sku, quantity]) => `${quantity} × ${sku}`).join(", ");
}

function breach(about: string, text: string): Breach {
  return { about, text };
}
