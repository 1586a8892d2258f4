import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { ListProductsResponse, Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Cache, ThroughOptions } from "@kontor/platform/cache/cache.ts";
import { coalesceLoads } from "./coalesce-loads.ts";

const productCaching: ThroughOptions<Product> = {
  ttlMs: 60_000,
  toJson: (product) => Buffer.from(toBinary(ProductSchema, product)).toString("base64"),
  fromJson: (text) => fromBinary(ProductSchema, Buffer.from(text as string, "base64")),
};
/** The version of the lists: one that all replicas read, and another one after each change. */
const versionKey = "products:lists";
const versionCaching: ThroughOptions<string> = { ttlMs: 60_000 };
const listMs = 1_000;
const listsMax = 200;

/**
 * Products as shoppers see them, by id and by handle, and lists of them. Whoever reads when `forget` has resolved sees nothing that was before
 * it, in whichever replica; see the cache for when it is unavailable. What is requested many times at once is loaded once.
 */
export interface ProductCache {
  product(idOrHandle: string, load: () => Promise<Product | undefined>): Promise<Product | undefined>;
  /** A list, under a key that says which. */
  list(key: string, load: () => Promise<ListProductsResponse>): Promise<ListProductsResponse>;
  /**
   * These have changed; without any, only lists have. Called after the commit. Resolves when nobody reads them as they were before, nor
   * those of earlier calls in this process.
   */
  forget(products: readonly Pick<Product, "id" | "handle">[]): Promise<void>;
}

/** `failed` gets the error when something could not be forgotten. */
export function createProductCache(cache: Cache, failed: (error: unknown) => void): ProductCache {
  const lists = new Map<string, { readonly version: string; readonly list: Promise<ListProductsResponse>; readonly untilMs: number }>();
  const coalesced = coalesceLoads<ListProductsResponse>();
  let forgotten = Promise.resolve();

  return {
    product: (idOrHandle, load) => cache.through(`product:${idOrHandle}`, productCaching, load),
    list: async (key, load) => {
      // Read before the list is loaded: a change from here on makes it another.
      const version = await cache.through(versionKey, versionCaching, newVersion);
      const nowMs = performance.now();
      const cached = lists.get(key);
      if (cached !== undefined && cached.version === version && nowMs < cached.untilMs) return cached.list;
      if (lists.size >= listsMax) lists.clear();
      const list = coalesced(key, load);
      lists.set(key, { version: version!, list, untilMs: nowMs + listMs });
      list.catch(() => lists.get(key)?.list === list && lists.delete(key));
      return list;
    },
    forget: (products) => {
      const keys = products.flatMap(({ id, handle }) => [`product:${id}`, `product:${handle}`]);
      const before = forgotten;
      const deleted = cache.delete(versionKey, ...keys).catch(failed);
      return (forgotten = before.then(() => deleted));
    },
  };
}

async function newVersion(): Promise<string> {
  return randomUUID();
}
