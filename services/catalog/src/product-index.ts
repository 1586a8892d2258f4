import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { IndexProductsSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import {
  ProductArchivedSchema,
  ProductCreatedSchema,
  ProductDeletedSchema,
  ProductPublishedSchema,
  ProductUpdatedSchema,
} from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import type { SearchDocument, SearchIndex } from "@kontor/platform/search/search.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import type { Queue } from "@kontor/platform/tasks/tasks.ts";
import { existingProducts, readProducts } from "./product-queries.ts";

const indexQueue = "index-products";
const analyzeFirstAfter = 500;

/**
 * Has changed products put into the search index. That may stand outside the transaction's database, so it is a task: one for a batch.
 * `changed` hears of them after the commit, also of those that another process has changed.
 */
export function indexSubscription({
  tasks,
  ids: newKey,
  changed,
}: Pick<Surroundings, "tasks" | "ids"> & { readonly changed: (products: readonly Product[]) => void }): Subscription {
  return subscription({
    name: "catalog.index",
    publisher: "catalog",
    schemas: [ProductCreatedSchema, ProductUpdatedSchema, ProductPublishedSchema, ProductArchivedSchema, ProductDeletedSchema],
    apply: async (tx, events) => {
      const ids = [...new Set(events.map(({ data }) => data.product!.id))];
      // A key of its own: when the log is applied anew, everything is put into the index anew.
      const task = { queue: indexQueue, key: newKey.next("idx"), payload: create(IndexProductsSchema, { products: ids }) };
      await tasks.add(tx, callFor(events[0]!, "catalog"), [task]);
      tx.afterCommit(() => changed(events.map(({ data }) => data.product!)));
    },
  });
}

/** Puts products into the index as they are now; those that are gone are taken out. */
export function indexQueueOf({
  database,
  index,
  indexed,
}: Pick<Surroundings, "database"> & { readonly index: SearchIndex; readonly indexed: () => void }): Queue {
  let count = 0;
  let analyzeAfter = analyzeFirstAfter;
  return queue({
    name: indexQueue,
    schema: IndexProductsSchema,
    concurrency: 2,
    run: async ({ payload: { products: ids } }) => {
      await index.put((await readProducts(database, ids)).map(searchDocument));
      // Asked after the put: one that is deleted meanwhile may have been taken out already, and put in again just now.
      const there = await existingProducts(database, ids);
      const gone = ids.filter((id) => !there.has(id));
      if (gone.length > 0) await index.delete(gone);
      indexed();
      count += ids.length;
      if (count < analyzeAfter) return;
      // A plan of a list that was made while there were few products reads all of them; new statistics end it at once.
      analyzeAfter = count * 2;
      await database.run(sql`analyze products, variants, product_categories`);
    },
  });
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
      b: [product.vendor, ...product.tags, ...product.variants.flatMap(({ sku, title }) => [sku, title])].join(" "),
      c: product.descriptionHtml.replace(/<[^>]*>/g, " "),
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
