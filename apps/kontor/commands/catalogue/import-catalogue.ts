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
/** How many products wait for SKUs that later ones of the file may give up. */
const waitingMax = 5_000;
const timeoutMs = 30_000;
const triesMax = 7;
const backoff = { pauseMsMin: 100, pauseMsMax: 5_000 };

/**
 * Sends products to catalog in batches and then the stock of those that catalog took to inventory, while the next batch is on its way. Products whose
 * SKUs others have are sent again at the end, because those may have given them up: what a file says does not depend on its order. Sending the
 * same again changes nothing. Throws when a service cannot be reached for several seconds: what was sent until then stays, and a repeat goes on.
 */
export async function importCatalogue(products: AsyncIterable<ReadProduct>, options: ImportOptions): Promise<ImportTally> {
  const tally: ImportTally = { accepted: 0, created: 0, updated: 0, unchanged: 0, rejected: 0, variants: 0, generatedSkus: 0, booked: 0 };
  const send = sender(options, tally);
  const reject = (): void => void tally.rejected++;
  let booking: Promise<void> = Promise.resolve();
  let waiting: Sent[] = [];
  /** Sends batches; the products that lack SKUs wait. */
  const sendAll = async (all: AsyncIterable<readonly Sent[]>): Promise<void> => {
    for await (const batch of all) {
      const [sent] = await Promise.all([send.products(batch), booking]);
      const room = waitingMax - waiting.length;
      const lacking = sent.filter(({ rejectedSkus }) => rejectedSkus.size > 0).slice(0, Math.max(0, room));
      waiting.push(...lacking);
      booking = send.stock(send.count(sent.filter((one) => !lacking.includes(one))));
      options.progressed?.(tally.accepted + tally.rejected);
    }
  };
  try {
    await sendAll(batches(products, reject));
    for (let lacked = Infinity; waiting.length > 0;) {
      const lacks = waiting.reduce((sum, { rejectedSkus }) => sum + rejectedSkus.size, 0);
      const again = waiting;
      waiting = [];
      if (lacks < lacked) await sendAll(batched(again));
      else {
        await booking;
        booking = send.stock(send.count(again));
      }
      lacked = lacks;
    }
    await booking;
  } finally {
    // When reading fails, the last booking has to end before the app is closed.
    await Promise.allSettled([booking]);
  }
  return tally;
}

/** A product with what became of it so far; undefined before it was sent, and in a dry run. */
interface Sent {
  readonly entry: CatalogueEntry;
  readonly outcome?: Pick<ImportOutcome, "outcome" | "reason" | "message">;
  /** The SKUs that another product had. */
  readonly rejectedSkus: ReadonlySet<string>;
}

const noSkus: ReadonlySet<string> = new Set();

function sender({ clients, bookDifference, note, report }: ImportOptions, tally: ImportTally) {
  const catalog = clients?.of("catalog", CatalogService);
  const inventory = clients?.of("inventory", InventoryService);

  const products = async (batch: readonly Sent[]): Promise<Sent[]> => {
    if (catalog === undefined) return [...batch];
    try {
      const { outcomes } = await insisting((call) => catalog.importProducts({ products: batch.map(({ entry }) => entry.product) }, call));
      return batch.map((sent, nth) => withOutcome(sent, outcomes[nth]!));
    } catch (error) {
      const refusal = refusalIn(error);
      if (refusal === undefined || outcomeUnknown(error)) throw error;
      if (batch.length > 1) {
        // One of them is refused with all others: each by itself shows which.
        const sent: Sent[] = [];
        for (const one of batch) sent.push(...(await products([one])));
        return sent;
      }
      const { reason, message } = refusal;
      return batch.map((sent) => ({ ...sent, outcome: { outcome: "REJECTED", reason, message }, rejectedSkus: noSkus }));
    }
  };
  /** Counts and reports what became of products, finally; gives those that were taken. */
  const count = (all: readonly Sent[]): Sent[] => all.filter((sent) => counted(sent, tally, report));
  const stock = async (taken: readonly Sent[]): Promise<void> => {
    if (inventory === undefined) return;
    const all = taken.flatMap(({ entry, rejectedSkus }) => entry.stock.filter(({ sku = "" }) => !rejectedSkus.has(sku)));
    for (let at = 0; at < all.length; at += batchVariantsMax) {
      const { booked } = await insisting((call) =>
        inventory.importStock({ stock: all.slice(at, at + batchVariantsMax), bookDifference, note }, call),
      );
      tally.booked += booked;
    }
  };
  return { products, count, stock };
}

/** What became of a product that was sent once more: one that was created then is not updated now. */
function withOutcome({ entry, outcome: before }: Sent, { outcome, reason, message, rejectedSkus }: ImportOutcome): Sent {
  const first = before !== undefined && (before.outcome === "CREATED" || outcome === "UNCHANGED") && before.outcome !== "REJECTED";
  return { entry, outcome: first ? before : { outcome, reason, message }, rejectedSkus: new Set(rejectedSkus) };
}

/** Whether a product was taken. */
function counted({ entry, outcome, rejectedSkus }: Sent, tally: ImportTally, report: Report): boolean {
  const { handle } = entry.product.product!;
  if (outcome?.outcome === "REJECTED") {
    tally.rejected++;
    report({ kind: "rejected", line: entry.line, handle, column: "", message: `${outcome.message} (${outcome.reason})` });
    return false;
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
  return true;
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
async function* batches(products: AsyncIterable<ReadProduct>, rejected: () => void): AsyncGenerator<readonly Sent[]> {
  async function* entries(): AsyncGenerator<Sent> {
    for await (const { entry } of products)
      if (entry === undefined) rejected();
      else yield { entry, rejectedSkus: noSkus };
  }
  yield* batched(entries());
}

async function* batched(all: AsyncIterable<Sent> | Iterable<Sent>): AsyncGenerator<readonly Sent[]> {
  let batch: Sent[] = [];
  let variants = 0;
  let characters = 0;
  for await (const sent of all) {
    batch.push(sent);
    variants += sent.entry.lines.size;
    characters += sent.entry.product.product!.descriptionHtml.length;
    if (batch.length < batchProductsMax && variants < batchVariantsMax && characters < batchCharactersMax) continue;
    yield batch;
    [batch, variants, characters] = [[], 0, 0];
  }
  if (batch.length > 0) yield batch;
}
