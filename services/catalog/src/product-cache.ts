import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Cache } from "@kontor/platform/cache/cache.ts";

const ttlMs = 60_000;

/** Products as shoppers see them, by id and by handle, and answers made of them. Nothing outlives a change that this process hears of. */
export interface ProductCache {
  product(idOrHandle: string, load: () => Promise<Product | undefined>): Promise<Product | undefined>;
  /** An answer made of many products, under a key that says which. */
  answer<Answer extends object>(key: string, load: () => Promise<Answer>): Promise<Answer>;
  /** These have changed. Called after the commit. */
  forget(products: readonly { readonly id: string; readonly handle?: string }[]): void;
}

export function createProductCache(cache: Cache, failed: (error: unknown) => void): ProductCache {
  // Rises with every change: what was being loaded meanwhile may be old, and is not kept.
  let generation = 0;

  const through = async <Value extends object>(key: string, load: () => Promise<Value | undefined>): Promise<Value | undefined> => {
    const kept = await cache.get<Value>(key);
    if (kept !== undefined) return kept;
    const before = generation;
    const loaded = await load();
    if (loaded !== undefined && before === generation) await cache.set(key, loaded, ttlMs);
    return loaded;
  };
  return {
    product: (idOrHandle, load) => through(`product:${idOrHandle}`, load),
    answer: async (key, load) => (await through(`products:${generation}:${key}`, load))!,
    forget: (products) => {
      generation++;
      const keys = products.flatMap(({ id, handle }) => [`product:${id}`, ...(handle === undefined ? [] : [`product:${handle}`])]);
      cache.delete(...keys).catch(failed);
    },
  };
}
