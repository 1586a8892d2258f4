import { inventoryFacts } from "@kontor/inventory/src/facts.ts";
import type { InventoryFacts, SummedStock } from "@kontor/inventory/src/facts.ts";
import { policyOf } from "@kontor/inventory/src/stock-messages.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { chunks, pages } from "./pages.ts";

const skusAtOnce = 1_000;
const exactAtOnce = 200;
const movementsAtOnce = 50_000;
const reservationsAtOnce = 5_000;
const expiryMsMax = 10_000;

/** The stock ledger: levels, movements, reservations and events say the same. */
export const stockInvariant: Invariant = {
  id: "I1",
  title: "on hand is the sum of the movements, reserved that of the held reservations, and the last event says so too",
  counts: "SKUs",
  async *check(look) {
    const inventory = look.of(inventoryFacts);
    const moved = await movedBySku(inventory);
    const held = await heldBySku(inventory);
    const withoutStock = new Set([...moved.keys(), ...held.keys()]);
    const suspects: string[] = [];
    for await (const page of pages(inventory.stock, ({ sku }) => sku, skusAtOnce)) {
      look.looked(page.length);
      for (const stock of page) {
        const { sku } = stock;
        withoutStock.delete(sku);
        if (problemsOf({ ...stock, moved: moved.get(sku) ?? 0, held: held.get(sku) ?? 0 }).length > 0) suspects.push(sku);
      }
    }
    suspects.push(...withoutStock);
    // Read apart, the sums and the level of a SKU that is just being sold do not agree; read at one moment they must.
    for (const skus of chunks(suspects, exactAtOnce))
      for (const stock of await inventory.summedStock(skus)) {
        const problems = problemsOf(stock);
        if (problems.length > 0) yield { about: stock.sku, text: `SKU ${stock.sku}: ${problems.join("; ")}` };
      }
    if (look.running) yield* outlivedReservations(inventory, look);
  },
};

async function heldBySku(inventory: InventoryFacts): Promise<Map<string, number>> {
  const held = new Map<string, number>();
  const read = (after: string, limit: number) => inventory.reservations("HELD", after, limit);
  for await (const page of pages(read, ({ id }) => id, reservationsAtOnce))
    for (const { lines } of page) for (const { sku, quantity } of lines) held.set(sku, (held.get(sku) ?? 0) + quantity);
  return held;
}

async function movedBySku(inventory: InventoryFacts): Promise<Map<string, number>> {
  const moved = new Map<string, number>();
  for (let after: string | undefined = ""; after !== undefined;) {
    const { sums, last }: Awaited<ReturnType<InventoryFacts["movedUnits"]>> = await inventory.movedUnits(after, movementsAtOnce);
    for (const { sku, quantity } of sums) moved.set(sku, (moved.get(sku) ?? 0) + quantity);
    after = last;
  }
  return moved;
}

function problemsOf({ sku, level, lastEvent, moved, held }: SummedStock): string[] {
  if (level === undefined)
    return moved === 0 && held === 0 && lastEvent === undefined
      ? []
      : [`it has no stock row, but movements of ${moved} units and ${held} held`];
  const { onHand, reserved, version, policy = "COUNTED", floor } = level;
  const problems: string[] = [];
  if (onHand !== moved) problems.push(`${onHand} on hand, its movements sum to ${moved}`);
  if (reserved !== held) problems.push(`${reserved} reserved, its held reservations sum to ${held}`);
  // Of what may be ordered without being there, and of what was until it began to be counted again, less than nothing may be left.
  const bounded = policy === "COUNTED" && floor === 0;
  if (reserved < 0 || (bounded && onHand < 0)) problems.push(`${onHand} on hand and ${reserved} reserved: below zero`);
  if (policy === "COUNTED" && onHand - reserved < floor)
    problems.push(`${reserved} reserved of ${onHand} on hand: available is below ${floor}`);
  const eventVersion = lastEvent?.version ?? 0;
  if (version !== eventVersion) problems.push(`its row is at version ${version}, its last event at ${eventVersion}`);
  if (lastEvent === undefined) {
    // A row is made before its first movement is booked.
    if (onHand !== 0 || reserved !== 0) problems.push("it has units and no events");
    return problems;
  }
  const { type, stock } = lastEvent;
  if (stock === undefined) problems.push(`its last event (${type}) cannot be read`);
  else if (
    stock.sku !== sku ||
    stock.onHand !== onHand ||
    stock.reserved !== reserved ||
    stock.available !== onHand - reserved ||
    stock.version !== version ||
    policyOf(stock) !== policy
  )
    problems.push(
      `its row says ${onHand} on hand and ${reserved} reserved at version ${version}, ` +
        `its last event ${stock.onHand}, ${stock.reserved} and ${stock.available} available at ${stock.version}`,
    );
  return problems;
}

async function* outlivedReservations(inventory: InventoryFacts, { now }: Look): AsyncGenerator<Breach> {
  for (const { order, expiresAt } of await inventory.heldSince(new Date(now.getTime() - expiryMsMax), 10_000))
    yield { about: order, text: `the reservation of order ${order} is held though it expired at ${expiresAt.toISOString()}` };
}
