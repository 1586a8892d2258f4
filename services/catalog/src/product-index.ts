import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { IndexProductsSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import { textOf } from "@kontor/platform/html/text-of.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { IndexLost, SearchDocument, SearchDocuments, SearchIndex } from "@kontor/platform/search/search.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import type { Queue, TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { indexQueue, productEvents, rebuildQueue } from "./channels.ts";
import { existingProducts, readProducts } from "./product-queries.ts";

type QueueNeeds = Pick<ServiceContext, "database" | "clock"> & { readonly index: SearchIndex; readonly indexed: () => void };

const analyzeFirstAfter = 500;
const productsAtOnce = 200;
const rebuildMs = 900_000;
/** How soon a search engine that is available again gets what it missed. */
const againMs = 4_000;

/**
 * Has changed products put into the search index. That may be outside of the transaction's database, so it is a task: one for a batch.
 * `changed` gets them after the commit, also of those that another process has changed.
 */
export function indexSubscription({
  tasks,
  ids: newKey,
  changed,
}: Pick<ServiceContext, "tasks" | "ids"> & { readonly changed: (products: readonly Product[]) => void }): Subscription {
  return subscription({
    ...productEvents,
    apply: async (tx, events) => {
      const ids = [...new Set(events.map(({ data }) => data.product!.id))];
      // A key of its own: when the log is applied again, everything is put into the index again.
      const task = { queue: indexQueue.name, key: newKey.next("idx"), payload: create(IndexProductsSchema, { products: ids }) };
      await tasks.add(tx, callFor(events[0]!, "catalog"), [task]);
      tx.afterCommit(() => changed(events.map(({ data }) => data.product!)));
    },
  });
}

/** Puts products into the index as they are now; those that are deleted are removed. While the index is unavailable, they are put again and again. */
export function indexQueueOf({ database, clock, index, indexed }: QueueNeeds): Queue {
  let count = 0;
  let analyzeAfter = analyzeFirstAfter;
  return queue({
    ...indexQueue,
    // A put waits until it can be found, which costs an engine of its own little more than time.
    concurrency: 4,
    run: ({ payload: { products: ids } }) =>
      untilAvailable(clock, async () => {
        await putProducts(database, index, ids);
        indexed();
        count += ids.length;
        if (count < analyzeAfter) return;
        // A plan of a list that was made while there were few products reads all of them; new statistics end it at once.
        analyzeAfter = count * 2;
        await database.run(sql`analyze products, variants, product_categories`);
      }),
  });
}

/** Rebuilds the index with all products, while the old one is searched. A process that takes over from one that crashed begins again. */
export function rebuildQueueOf({ database, clock, index, indexed }: QueueNeeds): Queue {
  return queue({
    ...rebuildQueue,
    concurrency: 1,
    timeoutMs: rebuildMs,
    run: (_, call) =>
      untilAvailable(clock, async () => {
        await index.rebuild(async (documents) => {
          for (let after = ""; ;) {
            call.check();
            const rows = await database.rows<{ id: string }>(
              sql`select id from products where id > ${after} order by id limit ${productsAtOnce}`,
            );
            const ids = rows.map(({ id }) => id);
            if (ids.length === 0) return;
            await putProducts(database, documents, ids);
            after = ids.at(-1)!;
          }
        });
        indexed();
      }),
  });
}

/** Has the index rebuilt by a task, of which there is one for a key. */
export async function addRebuild({ database, tasks }: Pick<ServiceContext, "database" | "tasks">, call: Call, key: string): Promise<void> {
  await database.transaction((tx) => tasks.add(tx, call, [{ queue: rebuildQueue.name, key, payload: create(IndexProductsSchema) }]));
}

/** Has the index rebuilt when its engine has lost it. It is called again until that is done, so a failure is only logged. */
export function rebuildWhenLost(needs: Pick<ServiceContext, "database" | "tasks" | "log">): IndexLost {
  return (gap) => {
    addRebuild(needs, rootCall({ caller: "catalog", timeoutMs: 5_000 }), `lost/${gap}`).catch((error: unknown) =>
      needs.log.warn({ error, gap }, "the search index lacks products, and its rebuild could not be scheduled yet"),
    );
  };
}

async function putProducts(database: Database, documents: SearchDocuments, ids: readonly string[]): Promise<void> {
  await documents.put((await readProducts(database, ids)).map(searchDocument));
  // Read after the put: one that is deleted meanwhile may have been taken out already, and put in again just now.
  const there = await existingProducts(database, ids);
  const deleted = ids.filter((id) => !there.has(id));
  if (deleted.length > 0) await documents.delete(deleted);
}

/** However long an engine is unavailable, that is no failure of the task: it should not end among the dead ones. */
async function untilAvailable(clock: Clock, work: () => Promise<void>): Promise<TaskResult | void> {
  try {
    await work();
  } catch (error) {
    if (refusalIn(error)?.code !== "unavailable") throw error;
    return { again: new Date(clock.now().getTime() + againMs) };
  }
}

function searchDocument(product: Product): SearchDocument {
  const prices: Record<string, number[]> = {};
  for (const { price } of product.variants) {
    const { currency, minor } = moneyFrom(price!);
    (prices[`price:${currency}`] ??= []).push(Number(minor));
  }
  return {
    id: product.id,
    version: product.version,
    text: {
      a: product.title,
      b: [product.vendor, ...product.tags, ...product.variants.flatMap(({ sku, title, barcode }) => [sku, title, barcode])].join(" "),
      c: textOf(product.descriptionHtml),
    },
    keywords: {
      status: [ProductStatus[product.status]],
      category: product.categories,
      tag: product.tags,
      vendor: product.vendor === "" ? [] : [product.vendor],
    },
    numbers: { ...prices, createdAt: [timestampDate(product.createdAt!).getTime()] },
  };
}
