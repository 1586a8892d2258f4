import { performance } from "node:perf_hooks";
import type { ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Cache } from "@kontor/platform/cache/cache.ts";

const productMs = 60_000;
/** Lists are not told of what other processes change, so they live shortly. */
const listMs = 1_000;
const listsMax = 200;

/**
 * Products as shoppers see them, by id and by handle, and lists of them. What is read after a change that this process has heard of never
 * shows what was before; what is asked for many times at once is loaded once.
 */
export interface ProductCache {
  product(idOrHandle: string, load: () => Promise<Product | undefined>): Promise<Product | undefined>;
  /** A list, under a key that says which. */
  list(key: string, load: () => Promise<ListProductsResponse>): Promise<ListProductsResponse>;
  /** These have changed; without any, only lists have. Called after the commit. */
  forget(products: readonly Pick<Product, "id" | "handle">[]): void;
}

export function createProductCache(cache: Cache, failed: (error: unknown) => void): ProductCache {
  // Rises with every change: a product that was being loaded meanwhile may be old, and is not kept.
  let generation = 0;
  const lists = new Map<string, { readonly answer: Promise<ListProductsResponse>; readonly untilMs: number }>();

  return {
    product: async (idOrHandle, load) => {
      const key = `product:${idOrHandle}`;
      const kept = await cache.get<Product>(key);
      if (kept !== undefined) return kept;
      const before = generation;
      const loaded = await load();
      if (loaded !== undefined && before === generation) await cache.set(key, loaded, productMs);
      return loaded;
    },
    list: (key, load) => {
      const nowMs = performance.now();
      const kept = lists.get(key);
      if (kept !== undefined && nowMs < kept.untilMs) return kept.answer;
      if (lists.size >= listsMax) lists.clear();
      const answer = load();
      lists.set(key, { answer, untilMs: nowMs + listMs });
      answer.catch(() => lists.get(key)?.answer === answer && lists.delete(key));
      return answer;
    },
    forget: (products) => {
      generation++;
      lists.clear();
      const keys = products.flatMap(({ id, handle }) => [`product:${id}`, `product:${handle}`]);
      if (keys.length > 0) cache.delete(...keys).catch(failed);
    },
  };
}
