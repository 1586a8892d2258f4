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
import { callFor } from "@kontor/platform/events/call-for.ts";
import { subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import type { SearchDocument, SearchIndex } from "@kontor/platform/search/search.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import type { Queue } from "@kontor/platform/tasks/tasks.ts";
import { readProducts } from "./product-store.ts";

const indexQueue = "index-products";

/** Has changed products put into the search index. That may stand outside the transaction's database, so it is a task: one for a batch. */
export function indexSubscription({ tasks }: Pick<Surroundings, "tasks">): Subscription {
  return subscription({
    name: "catalog.index",
    publisher: "catalog",
    schemas: [ProductCreatedSchema, ProductUpdatedSchema, ProductPublishedSchema, ProductArchivedSchema, ProductDeletedSchema],
    apply: async (tx, events) => {
      const ids = [...new Set(events.map(({ data }) => data.product!.id))];
      const first = events[0]!;
      const call = callFor(first, "catalog");
      await tasks.add(tx, call, [{ queue: indexQueue, key: first.id, payload: create(IndexProductsSchema, { products: ids }) }]);
    },
  });
}

/** Puts products into the index as they are now; those that are gone are taken out. */
export function indexQueueOf(needs: Pick<Surroundings, "database"> & { readonly index: SearchIndex; readonly indexed: () => void }): Queue {
  return queue({
    name: indexQueue,
    schema: IndexProductsSchema,
    concurrency: 2,
    run: async ({ payload }) => {
      await indexProducts(needs, payload.products);
      needs.indexed();
    },
  });
}

export async function indexProducts({ database, index }: Pick<Surroundings, "database"> & { readonly index: SearchIndex }, ids: readonly string[]): Promise<void> {
  const products = await readProducts(database, ids);
  const there = new Set(products.map(({ id }) => id));
  await index.put(products.map(searchDocument));
  const gone = ids.filter((id) => !there.has(id));
  if (gone.length > 0) await index.delete(gone);
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
