import { setTimeout as sleep } from "node:timers/promises";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ImportOutcome } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { outcomeUnknown, refusalIn } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { backoffMs } from "@kontor/platform/retry/backoff.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import type { Report } from "../../shopify/findings.ts";
import type { CatalogueEntry } from "../../shopify/product-draft.ts";
import type { ReadProduct } from "../../shopify/read-products.ts";

export interface ImportOptions {
  /** Of an attached app. Without them nothing is sent, which is a dry run. */
  readonly clients?: Clients;
  /** Whether stock that is known already is set to the file's, by a movement of the difference. Otherwise only new SKUs get their units. */
  readonly bookDifference: boolean;
  /** What the movements say. */
  readonly note: string;
  readonly report: Report;
  /** Called after each batch with the number of products so far. */
  readonly progressed?: (products: number) => void;
}

/** What became of a catalogue. In a dry run all that is not rejected counts as accepted. */
export interface ImportTally {
  accepted: number;
  created: number;
  updated: number;
  unchanged: number;
  rejected: number;
  variants: number;
  /** Variants without a SKU, for which one was generated. */
  generatedSkus: number;
  /** SKUs whose stock was booked. */
  booked: number;
}

const batchProductsMax = 100;
const batchVariantsMax = 1_000;
const batchCharactersMax = 1_000_000;
const timeoutMs = 30_000;
const triesMax = 7;
const backoff = { pauseMsMin: 100, pauseMsMax: 5_000 };

/**
 * Sends products to catalog in batches and then the stock of those that catalog took to inventory, while the next batch is on its way. Sending the
 * same again changes nothing. Throws when a service cannot be reached for several seconds: what was sent until then stays, and a repeat goes on.
 */
export async function importCatalogue(products: AsyncIterable<ReadProduct>, options: ImportOptions): Promise<ImportTally> {
  const tally: ImportTally = { accepted: 0, created: 0, updated: 0, unchanged: 0, rejected: 0, variants: 0, generatedSkus: 0, booked: 0 };
  const send = sender(options, tally);
  const reject = (): void => void tally.rejected++;
  let booking: Promise<void> = Promise.resolve();
  try {
    for await (const batch of batches(products, reject)) {
      const [accepted] = await Promise.all([send.products(batch), booking]);
      booking = send.stock(accepted);
      options.progressed?.(tally.accepted + tally.rejected);
    }
    await booking;
  } finally {
    // When reading fails, the last booking has to end before the app is closed.
    await Promise.allSettled([booking]);
  }
  return tally;
}

/** A product that catalog has taken, without the SKUs that it has not. */
interface Accepted {
  readonly entry: CatalogueEntry;
  readonly rejectedSkus: ReadonlySet<string>;
}

function sender({ clients, bookDifference, note, report }: ImportOptions, tally: ImportTally) {
  const catalog = clients?.of("catalog", CatalogService);
  const inventory = clients?.of("inventory", InventoryService);

  const take = (entry: CatalogueEntry, outcome?: ImportOutcome): Accepted[] => {
    const { handle } = entry.product.product!;
    const rejectedSkus = new Set(outcome?.rejectedSkus);
    if (outcome?.outcome === "REJECTED") {
      tally.rejected++;
      report({ kind: "rejected", line: entry.line, handle, column: "", message: `${outcome.message} (${outcome.reason})` });
      return [];
    }
    for (const sku of rejectedSkus)
      report({
        kind: "rejected",
        line: entry.lines.get(sku) ?? entry.line,
        handle,
        column: "",
        message: `another product of the shop has the SKU ${sku}`,
      });
    tally.accepted++;
    tally.variants += entry.lines.size - rejectedSkus.size;
    tally.generatedSkus += entry.generatedSkus;
    if (outcome?.outcome === "CREATED") tally.created++;
    if (outcome?.outcome === "UPDATED") tally.updated++;
    if (outcome?.outcome === "UNCHANGED") tally.unchanged++;
    return [{ entry, rejectedSkus }];
  };
  const products = async (batch: readonly CatalogueEntry[]): Promise<Accepted[]> => {
    if (catalog === undefined) return batch.flatMap((entry) => take(entry));
    try {
      const { outcomes } = await insisting((call) => catalog.importProducts({ products: batch.map(({ product }) => product) }, call));
      return batch.flatMap((entry, nth) => take(entry, outcomes[nth]));
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal === undefined || outcomeUnknown(error)) throw error;
      if (batch.length > 1) {
        // One of them is refused with all others: each by itself shows which.
        const accepted: Accepted[] = [];
        for (const entry of batch) accepted.push(...(await products([entry])));
        return accepted;
      }
      tally.rejected++;
      const [entry] = batch;
      report({
        kind: "rejected",
        line: entry!.line,
        handle: entry!.product.product!.handle,
        column: "",
        message: `${refusal.message} (${refusal.reason})`,
      });
      return [];
    }
  };
  const stock = async (accepted: readonly Accepted[]): Promise<void> => {
    if (inventory === undefined) return;
    const all = accepted.flatMap(({ entry, rejectedSkus }) => entry.stock.filter(({ sku }) => !rejectedSkus.has(sku)));
    for (let at = 0; at < all.length; at += batchVariantsMax) {
      const { booked } = await insisting((call) =>
        inventory.importStock({ stock: all.slice(at, at + batchVariantsMax), bookDifference, note }, call),
      );
      tally.booked += booked;
    }
  };
  return { products, stock };
}

/** Calls again, a little later each time, while nobody knows whether the call had its effect. What is called here may be done twice. */
async function insisting<Answer>(work: (call: Call) => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    try {
      return await work(rootCall({ caller: "kontor", timeoutMs }));
    } catch (error) {
      if (tries >= triesMax || !outcomeUnknown(error) || refusalIn(error)?.code === "internal") throw error;
      await sleep(backoffMs(backoff, tries));
    }
  }
}

/** The products that can be sent, in batches of which none is too much for one transaction. */
async function* batches(products: AsyncIterable<ReadProduct>, rejected: () => void): AsyncGenerator<readonly CatalogueEntry[]> {
  let batch: CatalogueEntry[] = [];
  let variants = 0;
  let characters = 0;
  for await (const { entry } of products) {
    if (entry === undefined) {
      rejected();
      continue;
    }
    batch.push(entry);
    variants += entry.lines.size;
    characters += entry.product.product!.descriptionHtml.length;
    if (batch.length < batchProductsMax && variants < batchVariantsMax && characters < batchCharactersMax) continue;
    yield batch;
    [batch, variants, characters] = [[], 0, 0];
  }
  if (batch.length > 0) yield batch;
}
